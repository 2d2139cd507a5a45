"""What a machine or a card could do at most, measured: a model's speed is held against it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MachineLimits:
    """Bytes a second that can be read from memory, and 8-bit multiply-adds a second.

    `products` None: it was not measured, so what multiplies for longer than it reads has no limit.
    """

    bandwidth: float
    products: float | None

    def seconds(self, bytes_read: int, macs: int) -> float:
        """What such work takes at least (the roofline: Williams et al. 2009)."""
        reading = bytes_read / self.bandwidth
        return max(reading, macs / self.products) if self.products else reading

    def best(self, other: "MachineLimits") -> "MachineLimits":
        """The higher of two measurements: a busy machine only ever looks slower than it is."""
        products = None
        if self.products is not None and other.products is not None:
            products = max(self.products, other.products)
        return MachineLimits(max(self.bandwidth, other.bandwidth), products)
