"""The choice of the backend, from the options and the card that was found."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lepton_cli.engine.library.sizes import gigabytes
from lepton_cli.engine.loading.placement import GpuLayers, Placement
from ops.backend import Card, Missing
from quant.errors import UsageError

Backend = Literal["auto", "cpu", "cuda", "reference"]
ON_THE_CPU = "running on the CPU"


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """The chosen backend; `card` is set for cuda. `no_gpu`: why no card is used, if relevant."""

    backend: Literal["cpu", "cuda", "reference"]
    card: Card | None = None
    no_gpu: str | None = None
    announce: bool = False  # show `no_gpu` even to a user who did not ask for a card

    def on_the_cpu(self, reason: str) -> "BackendChoice":
        """The CPU instead, if the card turns out to be unusable."""
        return BackendChoice("cpu", no_gpu=f"{reason}; {ON_THE_CPU}", announce=True)


@dataclass(frozen=True, slots=True)
class GpuUse:
    """A card, its free bytes before loading, and the part of the model on it."""

    card: Card
    free: int
    placement: Placement

    def __str__(self) -> str:
        """The text for `-v`."""
        placed = self.placement
        memory = f"{self.free / 1e9:.1f} of {self.card.total / 1e9:.1f} GB free"
        layers = f"layers on the GPU: {placed.layers_on_gpu} of {placed.layers}"
        return f"GPU: {self.card}, {memory}; {layers} ({gigabytes(placed.gpu_bytes)})"

    @property
    def arithmetic(self) -> str:
        """The kind of card and the layers on it, which results depend on."""
        placed = self.placement
        return f"{self.card.arithmetic}.{placed.layers_on_gpu}of{placed.layers}"


def choose(
    wanted: Backend, layers: GpuLayers, probe: Callable[[], Card | Missing]
) -> BackendChoice:
    """Chooses a backend; calls `probe` only if a card may be used.

    Raises UsageError if a card is required and there is none.
    """
    if wanted in ("cpu", "reference"):
        return BackendChoice(wanted)
    if layers == 0:
        return BackendChoice("cpu")
    found = probe()
    if isinstance(found, Card):
        return BackendChoice("cuda", found)
    if wanted == "cuda":
        raise UsageError(found.reason, found.cure)
    reason = f"{found.reason}: {found.cure}; {ON_THE_CPU}"
    return BackendChoice("cpu", no_gpu=reason, announce=found.nvidia or layers != "auto")
