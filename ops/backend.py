"""What can run a model's program: the one face of the CPU, of a card, and of the definition.

The engine asks a backend what it refuses and needs, and opens it; it knows nothing below this file.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from ops.cpu.objects import ObjectStore
from ops.cpu.runner import CpuRunner, cpu_needs
from ops.cuda.device import Device
from ops.cuda.probe import Card
from ops.interface import Step
from ops.memory_plan import Limits
from ops.needs import Needs
from ops.operations import Slot
from ops.profile import OperatorTime
from ops.program import Program
from ops.reference import ReferenceRunner, reference_needs
from ops.rows import Logits
from ops.shelves import Compiling
from ops.state.blocks import BlockPool
from ops.state.formats import CacheType
from ops.state.sequence import SequenceState

if TYPE_CHECKING:
    import threading

BackendName = Literal["cpu", "reference"]
CacheTypes = tuple[CacheType, CacheType]  # of keys, and of values


@dataclass(frozen=True, slots=True)
class Resources:
    """What a backend may use. `kernels` is the folder for compiled kernels."""

    threads: int
    kernels: Path
    on_compile: Callable[[Compiling], None]


class Runner(Protocol):
    """An open program: a pass over a few tokens."""

    @property
    def pool(self) -> BlockPool: ...
    @property
    def digest(self) -> bytes:
        """Of the operators that really run."""

    def run(  # (O, V)
        self,
        step: Step,
        states: Sequence[SequenceState],
        interrupt: "threading.Event | None" = None,
    ) -> Logits: ...
    def profile(self, step: Step, states: Sequence[SequenceState]) -> list[OperatorTime]:
        """Raises UsageError where operators are not timed."""

    def room(self) -> int:
        """How many more blocks of cache there is memory for."""

    def close(self) -> None: ...


class Backend(Protocol):
    """Asking it takes no memory; opening it does."""

    def refuses(self, program: Program) -> str | None:
        """Why it cannot run the program, if so."""

    def needs(self, program: Program, limits: Limits) -> Needs:
        """Raises UsageError for types of the cache that do not fit the program."""

    def open(self, program: Program, limits: Limits) -> Runner:
        """The first one ever compiles the kernels that the program needs.

        Raises OutOfMemoryError, LeptonError.
        """


@dataclass(frozen=True, slots=True)
class ReferenceBackend:
    """The NumPy definition."""

    kv: CacheTypes

    def refuses(self, program: Program) -> str | None:
        return None

    def needs(self, program: Program, limits: Limits) -> Needs:
        return reference_needs(program, limits, self.kv)

    def open(self, program: Program, limits: Limits) -> ReferenceRunner:
        return ReferenceRunner(program, self.kv)


@dataclass(frozen=True, slots=True)
class CpuBackend:
    """Compiled kernels on the machine's own processor."""

    kv: CacheTypes
    resources: Resources

    def refuses(self, program: Program) -> str | None:
        return None

    def needs(self, program: Program, limits: Limits) -> Needs:
        return cpu_needs(program, limits, self.kv)

    def open(self, program: Program, limits: Limits) -> CpuRunner:
        store = ObjectStore(self.resources.kernels, self.resources.on_compile)
        return CpuRunner(program, self.kv, limits, self.resources.threads, store)


@dataclass(frozen=True, slots=True)
class CardBackend:
    """A card. Without a held `device` it can be asked, but not opened; opening hands it over."""

    kv: CacheTypes
    resources: Resources
    device: Device | None = None

    def refuses(self, program: Program) -> str | None:
        from ops.cuda.cache import WIDEST  # only where there is a card

        for page in program.pages:
            widest = max(page.key_width, page.value_width)
            if widest > WIDEST or widest % 2:
                return f"a card takes even head widths up to {WIDEST}; this model's is {widest}"
            if page.key_width != page.value_width:
                return "a card takes heads whose keys are as wide as their values"
        slots = [state for state in program.states if isinstance(state, Slot)]
        return f"layer {slots[0].layer} is recurrent, which cards do not run yet" if slots else None

    def needs(self, program: Program, limits: Limits) -> Needs:
        from ops.cuda.runner import card_needs

        return card_needs(program, limits, self.kv)

    def open(self, program: Program, limits: Limits) -> Runner:
        from ops.cuda.codes import CodeStore
        from ops.cuda.runner import CudaRunner

        assert self.device is not None, "a card is held before a program is opened on it"
        own = self.resources
        codes = CodeStore(self.device, own.kernels, own.threads, own.on_compile)
        return CudaRunner(self.device, program, self.kv, limits, codes)


def backend_of(name: BackendName, kv: CacheTypes, resources: Resources) -> Backend:
    """Of what needs no card."""
    return ReferenceBackend(kv) if name == "reference" else CpuBackend(kv, resources)


def open_device(card: Card) -> Device:
    """The card, held until it is closed. Raises LeptonError."""
    from ops.cuda.driver import open_driver  # of the extra: imported where there is a card

    return open_driver(card.index)


def open_on_both(
    first: CpuBackend, second: CardBackend, program: Program, layer: int, limits: Limits
) -> Runner:
    """The layers before `layer` on the CPU, the others on the card."""
    from ops.cuda.runner import CudaRunner
    from ops.split import SplitRunner

    before, behind = program.split(layer)
    on_card = second.open(behind, limits)
    assert isinstance(on_card, CudaRunner)
    return SplitRunner(first.open(before, limits), on_card)
