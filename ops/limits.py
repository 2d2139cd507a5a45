"""The measured limits of a machine or a card (roofline), with which speeds are compared."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MachineLimits:
    """Bytes per second read from memory, and multiply-adds per second of such numbers.

    `products` is None if it was not measured; then only memory bounds a speed.
    """

    bandwidth: float
    products: float | None
    numbers: str = "8 bits"

    def seconds(self, bytes_read: int, macs: int) -> float:
        """The least time for this work (the roofline model: Williams et al. 2009)."""
        reading = bytes_read / self.bandwidth
        return max(reading, macs / self.products) if self.products else reading

    def best(self, other: "MachineLimits") -> "MachineLimits":
        """The higher of two measurements: a busy machine only ever seems slower than it is."""
        products = None
        if self.products is not None and other.products is not None:
            products = max(self.products, other.products)
        return MachineLimits(max(self.bandwidth, other.bandwidth), products, self.numbers)
