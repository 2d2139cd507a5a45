"""Which backend runs a model: what was asked for, and what card there is."""

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
class Choice:
    """A backend; `card` is of cuda. `no_gpu`: why there is no card, where one might have been."""

    backend: Literal["cpu", "cuda", "reference"]
    card: Card | None = None
    no_gpu: str | None = None
    told: bool = False  # `no_gpu` matters also to who did not ask

    def on_the_cpu(self, reason: str) -> "Choice":
        """Where the card turns out to be of no use."""
        return Choice("cpu", no_gpu=f"{reason}; {ON_THE_CPU}", told=True)


@dataclass(frozen=True, slots=True)
class GpuUse:
    """A card, its bytes free before the model came, and what of the model went there."""

    card: Card
    free: int
    placement: Placement

    def __str__(self) -> str:
        """As `-v` tells it."""
        placed = self.placement
        memory = f"{self.free / 1e9:.1f} of {self.card.total / 1e9:.1f} GB free"
        layers = f"layers on the GPU: {placed.layers_on_gpu} of {placed.layers}"
        return f"GPU: {self.card}, {memory}; {layers} ({gigabytes(placed.gpu_bytes)})"

    @property
    def arithmetic(self) -> str:
        """What the sums of an answer depend on: the kind of card, and which layers it has."""
        placed = self.placement
        return f"{self.card.arithmetic}.{placed.layers_on_gpu}of{placed.layers}"


def choose(wanted: Backend, layers: GpuLayers, probe: Callable[[], Card | Missing]) -> Choice:
    """No card is looked for where none may be used. Raises UsageError where there must be one."""
    if wanted in ("cpu", "reference"):
        return Choice(wanted)
    if layers == 0:
        return Choice("cpu")
    found = probe()
    if isinstance(found, Card):
        return Choice("cuda", found)
    if wanted == "cuda":
        raise UsageError(found.reason, found.cure)
    reason = f"{found.reason}: {found.cure}; {ON_THE_CPU}"
    return Choice("cpu", no_gpu=reason, told=found.nvidia or layers != "auto")
