"""What can run a model's program: the one face of the CPU, of a card, and of the definition.

The engine asks a backend what it refuses and needs, and opens it; it knows nothing below this file.
"""

import os
import platform
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from ops.compiled.kernel_folder import Compiling
from ops.cpu.findings import cpu_findings
from ops.cpu.kernel_folders import cached_kernels
from ops.cpu.limits import LimitMeter
from ops.cpu.objects import ObjectStore, host_features
from ops.cpu.rungs import choose_rung
from ops.cpu.runner import CpuRunner, cpu_needs
from ops.cuda.device.device import Device
from ops.cuda.device.probe import Card, Missing, find_card
from ops.cuda.findings import card_findings
from ops.findings import Finding
from ops.interface import Step
from ops.limits import MachineLimits
from ops.logits import Logits
from ops.machine import default_threads
from ops.memory_plan import Limits
from ops.needs import Needs
from ops.operations.base import Slot
from ops.profile import OperatorTime
from ops.program import Program
from ops.reference.runner import ReferenceRunner, reference_needs
from ops.state.blocks import BlockPool
from ops.state.formats import CacheType
from ops.state.sequence import SequenceState
from quant.errors import OutOfMemoryError

if TYPE_CHECKING:
    import threading

__all__ = [
    "Backend",
    "CacheTypes",
    "Card",
    "CardBackend",
    "CpuBackend",
    "Device",
    "Kernels",
    "Meter",
    "Missing",
    "NoMeter",
    "Resources",
    "Runner",
    "all_kernels",
    "backend_of",
    "card_findings",
    "cpu_arithmetic",
    "cpu_findings",
    "find_card",
    "open_device",
    "open_on_both",
]

COPIED = 512 << 20  # bytes: many times a card's cache

BackendName = Literal["cpu", "reference"]
CacheTypes = tuple[CacheType, CacheType]  # of keys, and of values


@dataclass(frozen=True, slots=True)
class Resources:
    """What a backend may use. `kernels` is the folder for compiled kernels."""

    threads: int
    kernels: Path
    on_compile: Callable[[Compiling], None]


class Meter(Protocol):
    """Measures again whenever it is asked."""

    def measure(self) -> MachineLimits | None: ...
    def close(self) -> None: ...


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

    @property
    def arithmetic(self) -> str:
        """What the sums depend on: where it and the code agree, the bytes are the same."""

    @property
    def code(self) -> str:
        """Names the version of the kernels."""

    def refuses(self, program: Program) -> str | None:
        """Why it cannot run the program, if so."""

    def needs(self, program: Program, limits: Limits) -> Needs:
        """Raises UsageError for types of the cache that do not fit the program."""

    def open(self, program: Program, limits: Limits) -> Runner:
        """The first one ever compiles the kernels that the program needs.

        Raises OutOfMemoryError, LeptonError.
        """

    def meter(self) -> Meter:
        """What measures the limits of the machine that speeds are held against."""

    def findings(self) -> Iterable[Finding]:
        """What it makes of this machine."""


@dataclass(frozen=True, slots=True)
class ReferenceBackend:
    """The NumPy definition."""

    kv: CacheTypes

    arithmetic: ClassVar[str] = "reference"
    code: ClassVar[str] = "reference"

    def refuses(self, program: Program) -> str | None:
        return None

    def needs(self, program: Program, limits: Limits) -> Needs:
        return reference_needs(program, limits, self.kv)

    def open(self, program: Program, limits: Limits) -> ReferenceRunner:
        return ReferenceRunner(program, self.kv)

    def meter(self) -> Meter:
        return NoMeter()

    def findings(self) -> Iterable[Finding]:
        return ()


@dataclass(frozen=True, slots=True)
class CpuBackend:
    """Compiled kernels on the machine's own processor."""

    kv: CacheTypes
    resources: Resources

    @property
    def arithmetic(self) -> str:
        return cpu_arithmetic()

    @property
    def code(self) -> str:
        return cached_kernels(Path(), choose_rung(host_features(), os.environ)).folder.name

    def refuses(self, program: Program) -> str | None:
        return None

    def needs(self, program: Program, limits: Limits) -> Needs:
        return cpu_needs(program, limits, self.kv, self.resources.threads)

    def open(self, program: Program, limits: Limits) -> CpuRunner:
        store = ObjectStore(self.resources.kernels, self.resources.on_compile)
        return CpuRunner(program, self.kv, limits, self.resources.threads, store)

    def meter(self) -> Meter:
        own = self.resources
        return LimitMeter(own.threads, ObjectStore(own.kernels, own.on_compile))

    def findings(self) -> Iterable[Finding]:
        return cpu_findings(self.resources.kernels)


@dataclass(frozen=True, slots=True)
class CardBackend:
    """A card. Without a held `device` it can be asked, but not opened; opening hands it over."""

    card: Card
    kv: CacheTypes
    resources: Resources
    device: Device | None = None

    @property
    def arithmetic(self) -> str:
        return self.card.arithmetic

    @property
    def code(self) -> str:
        from ops.cuda.compile.codes import card_kernels  # only where there is a card

        return card_kernels(Path(), self.card.target).folder.name

    def refuses(self, program: Program) -> str | None:
        from ops.cuda.cache import WIDEST

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
        from ops.cuda.compile.codes import CodeStore
        from ops.cuda.runner import CudaRunner

        assert self.device is not None, "a card is held before a program is opened on it"
        own = self.resources
        codes = CodeStore(self.device, own.kernels, own.threads, own.on_compile)
        return CudaRunner(self.device, program, self.kv, limits, codes)

    def meter(self) -> Meter:
        return CardMeter(self.card)

    def findings(self) -> Iterable[Finding]:
        return card_findings(self.card)


class CardMeter:
    """By copies on the card, beside the model; its multipliers are not measured."""

    def __init__(self, card: Card) -> None:
        self._card = card

    def measure(self) -> MachineLimits | None:
        """Takes half of the memory that is free, at most. Raises LeptonError.

        None where others took that memory meanwhile: no reason to end a benchmark.
        """
        from ops.cuda.device.bandwidth import copy_bandwidth  # of the extra: where there is a card
        from ops.cuda.device.driver import open_driver

        with closing(open_driver(self._card.index)) as driver:
            free, _ = driver.memory()
            try:
                return MachineLimits(copy_bandwidth(driver, min(COPIED, free // 4)), None)
            except OutOfMemoryError:
                return None

    def close(self) -> None:
        """Nothing is held between measurements."""


class NoMeter:
    """Of what has no limit to be held against: the definition, or a model on two devices."""

    def measure(self) -> None:
        return None

    def close(self) -> None:
        """Nothing is held."""


def backend_of(name: BackendName, kv: CacheTypes, resources: Resources) -> Backend:
    """Of what needs no card."""
    return ReferenceBackend(kv) if name == "reference" else CpuBackend(kv, resources)


def cpu_arithmetic() -> str:
    """Like x86_64.avx512. Raises UsageError for a wrong LEPTON_CPU."""
    return f"{platform.machine()}.{choose_rung(host_features(), os.environ).name}"


def open_device(card: Card) -> Device:
    """The card, held until it is closed. Raises LeptonError."""
    from ops.cuda.device.driver import open_driver  # of the extra: imported where there is a card

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


class Kernels(Protocol):
    """All kernels of one kind of processor, and where those are kept that were compiled."""

    @property
    def instructions(self) -> str: ...
    @property
    def folder(self) -> Path: ...
    def count(self) -> int:
        """How many are kept."""

    def compile_all(self) -> None:
        """Those that are not kept yet. Raises LeptonError."""


class CpuKernels:
    def __init__(self, root: Path, on_compile: Callable[[Compiling], None]) -> None:
        self._store = ObjectStore(root, on_compile)
        self._kept = cached_kernels(root, self._store.rung)
        self.instructions, self.folder = self._store.rung.name, self._kept.folder

    def count(self) -> int:
        return len(self._kept.sizes())

    def compile_all(self) -> None:
        from ops.cpu.compiling import all_kernels

        self._store.prepare(all_kernels())


class CardKernels:
    def __init__(self, card: Card, root: Path, on_compile: Callable[[Compiling], None]) -> None:
        from ops.cuda.compile.codes import CodeStore, NoLoader, card_kernels

        self._kept = card_kernels(root, card.target)
        threads = default_threads().count
        self._store = CodeStore(NoLoader(card.capability), root, threads, on_compile)
        self.instructions, self.folder = card.target, self._kept.folder

    def count(self) -> int:
        return len(self._kept.sizes())

    def compile_all(self) -> None:
        from ops.cuda.kernels import KERNELS

        self._store.prepare(KERNELS)


def all_kernels(root: Path, on_compile: Callable[[Compiling], None]) -> list[Kernels]:
    """The processor's, and those of a card where there is one."""
    found, card = list[Kernels]([CpuKernels(root, on_compile)]), find_card()
    if isinstance(card, Card):
        found.append(CardKernels(card, root, on_compile))
    return found
