"""The common interface of the backends (CPU, CUDA, NumPy reference) that run a model's program.

The engine imports this file and nothing of the backends behind it.
"""

import os
import platform
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from ops.compiled.kernel_folder import Compiling
from ops.cpu.findings import cpu_findings
from ops.cpu.formats import ENCODE, UNPACKED
from ops.cpu.instruction_sets.rung import Rung
from ops.cpu.kernel_folders import cached_kernels
from ops.cpu.measures.limits import LimitMeter, most_multiplied
from ops.cpu.objects import ObjectStore
from ops.cpu.processor import host_features
from ops.cpu.rungs import choose_rung
from ops.cpu.runner import CpuRunner, cpu_needs, fused_for_cpu
from ops.cpu.weights.files import KeptFile, WeightFiles, clear_kept, kept_files
from ops.cuda.device.device import Device
from ops.cuda.device.probe import Card, Missing, find_card
from ops.cuda.findings import card_findings
from ops.findings import Finding
from ops.limits import MachineLimits
from ops.machine import default_threads
from ops.memory_plan import Limits
from ops.needs import Needs
from ops.program import Program
from ops.reference.runner import ReferenceRunner, reference_needs
from ops.runners.encoded import needs_of_parts, open_parts
from ops.runners.runner import Runner
from ops.state.formats import CacheType
from quant.errors import OutOfMemoryError

if TYPE_CHECKING:
    pass

__all__ = [
    "Backend",
    "CacheTypes",
    "Card",
    "CardBackend",
    "CpuBackend",
    "Device",
    "KeptFile",
    "Kernels",
    "Meter",
    "Missing",
    "NoMeter",
    "Resources",
    "Runner",
    "WeightFiles",
    "all_kernels",
    "backend_of",
    "card_findings",
    "clear_kept",
    "cpu_arithmetic",
    "cpu_findings",
    "find_card",
    "kept_files",
    "open_device",
    "open_on_both",
]

COPIED = 512 << 20  # bytes to copy for a bandwidth measurement: many times a card's cache

BackendName = Literal["cpu", "reference"]
CacheTypes = tuple[CacheType, CacheType]  # of keys, and of values


@dataclass(frozen=True, slots=True)
class Resources:
    """What a backend may use: threads, the folder for compiled kernels, a progress callback.

    `weights` is where the CPU's packed weights are kept for later starts, if they are.
    """

    threads: int
    kernels: Path
    on_compile: Callable[[Compiling], None]
    weights: WeightFiles | None = None


class Meter(Protocol):
    """Measures the machine's limits; each call measures anew."""

    def measure(self) -> MachineLimits | None: ...
    def close(self) -> None: ...


class Backend(Protocol):
    """A device and how to run programs on it. Only `open` allocates memory."""

    @property
    def arithmetic(self) -> str:
        """Names the arithmetic: results with equal `arithmetic` and `code` are equal to the bit."""

    @property
    def code(self) -> str:
        """A name for the version of the kernels."""

    def refuses(self, program: Program) -> str | None:
        """The reason why it cannot run the program, or None if it can."""

    def needs(self, program: Program, limits: Limits) -> Needs:
        """The memory to run the program. Raises UsageError for a cache type that does not fit."""

    def digest(self, program: Program) -> bytes:
        """Of the operators that run, after fusion."""

    def open(self, program: Program, limits: Limits) -> Runner:
        """Opens the program; compiles the kernels that it needs and that are not cached yet.

        Raises OutOfMemoryError, LeptonError.
        """

    def meter(self, program: Program) -> Meter:
        """Measures the limits (bandwidth, arithmetic) that the program's speed is compared with."""

    def findings(self) -> Iterable[Finding]:
        """What it found out about this machine, for `lepton doctor`."""


@dataclass(frozen=True, slots=True)
class ReferenceBackend:
    """The NumPy reference."""

    kv: CacheTypes

    arithmetic: ClassVar[str] = "reference"
    code: ClassVar[str] = "reference"

    def refuses(self, program: Program) -> str | None:
        return None

    def needs(self, program: Program, limits: Limits) -> Needs:
        return needs_of_parts(program, lambda part: reference_needs(part, limits, self.kv))

    def digest(self, program: Program) -> bytes:
        return b"".join(part.digest() for part in program.parts)

    def open(self, program: Program, limits: Limits) -> Runner:
        return open_parts(program, lambda part: ReferenceRunner(part, self.kv))

    def meter(self, program: Program) -> Meter:
        return NoMeter()

    def findings(self) -> Iterable[Finding]:
        return ()


@dataclass(frozen=True, slots=True)
class CpuBackend:
    """Compiled kernels on the machine's CPU."""

    kv: CacheTypes
    resources: Resources

    @property
    def arithmetic(self) -> str:
        return cpu_arithmetic()

    @property
    def code(self) -> str:
        return cached_kernels(Path(), _rung()).folder.name

    def refuses(self, program: Program) -> str | None:
        return None

    def needs(self, program: Program, limits: Limits) -> Needs:
        own, rung = self.resources, _rung()
        return needs_of_parts(
            program, lambda part: cpu_needs(part, limits, self.kv, own.threads, rung)
        )

    def digest(self, program: Program) -> bytes:
        return b"".join(fused_for_cpu(part, _rung()).digest() for part in program.parts)

    def open(self, program: Program, limits: Limits) -> Runner:
        return open_parts(program, lambda part: self.open_part(part, limits))

    def open_part(self, program: Program, limits: Limits) -> CpuRunner:
        """A program alone, without its encoder."""
        store = ObjectStore(self.resources.kernels, self.resources.on_compile)
        own = self.resources
        return CpuRunner(program, self.kv, limits, own.threads, store, own.weights)

    def meter(self, program: Program) -> Meter:
        own = self.resources
        kernels = ObjectStore(own.kernels, own.on_compile)
        return LimitMeter(own.threads, kernels, most_multiplied(program))

    def findings(self) -> Iterable[Finding]:
        return cpu_findings(self.resources.kernels)


@dataclass(frozen=True, slots=True)
class CardBackend:
    """A CUDA card. `open` needs `device`, and its runner then owns the device."""

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
        from ops.cuda.rules.refusals import refusal

        return refusal(program)

    def needs(self, program: Program, limits: Limits) -> Needs:
        from ops.cuda.runner import card_needs

        return card_needs(program, limits, self.kv)

    def digest(self, program: Program) -> bytes:
        from ops.cuda.runner import fused_for_card

        return fused_for_card(program).digest()

    def open(self, program: Program, limits: Limits) -> Runner:
        from ops.cuda.compile.codes import CodeStore
        from ops.cuda.runner import CudaRunner

        assert self.device is not None, "open_device comes before a program is opened on the card"
        own = self.resources
        codes = CodeStore(self.device, own.kernels, own.threads, own.on_compile)
        return CudaRunner(self.device, program, self.kv, limits, codes)

    def meter(self, program: Program) -> Meter:
        return CardMeter(self.card)

    def findings(self) -> Iterable[Finding]:
        return card_findings(self.card)


class CardMeter:
    """Measures bandwidth by copies on the card, beside the model; does not measure arithmetic."""

    def __init__(self, card: Card) -> None:
        self._card = card

    def measure(self) -> MachineLimits | None:
        """Uses at most half of the free memory. Raises LeptonError.

        Returns None if other processes took that memory meanwhile: a benchmark goes on without it.
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
    """For what has no measured limits: the reference, or a model split over two devices."""

    def measure(self) -> None:
        return None

    def close(self) -> None:
        """Nothing is held."""


def backend_of(name: BackendName, kv: CacheTypes, resources: Resources) -> Backend:
    """The backend of this name, for those that need no card."""
    return ReferenceBackend(kv) if name == "reference" else CpuBackend(kv, resources)


def cpu_arithmetic() -> str:
    """The CPU's arithmetic, e.g. x86_64.avx512. Raises UsageError for a wrong LEPTON_CPU."""
    return f"{platform.machine()}.{_rung().name}"


def _rung() -> Rung:
    """The instructions that kernels use. Raises UsageError for a wrong LEPTON_CPU."""
    return choose_rung(host_features(), os.environ)


def open_device(card: Card) -> Device:
    """Opens the card for use until the device is closed. Raises LeptonError."""
    from ops.cuda.device.driver import open_driver  # of the extra: imported where there is a card

    return open_driver(card.index)


def open_on_both(
    first: CpuBackend, second: CardBackend, program: Program, layer: int, limits: Limits
) -> Runner:
    """Runs the layers before `layer` on the CPU and the others on the card."""
    from ops.cuda.runner import CudaRunner
    from ops.runners.split import SplitRunner

    before, behind = program.split(layer)
    on_card = second.open(behind, limits)
    assert isinstance(on_card, CudaRunner)
    return SplitRunner(first.open_part(before, limits), on_card)


class Kernels(Protocol):
    """All kernels for one processor (the CPU or a card), and the folder of the compiled ones."""

    @property
    def instructions(self) -> str: ...
    @property
    def folder(self) -> Path: ...
    def count(self) -> int:
        """How many are compiled and stored."""

    def compile_all(self) -> None:
        """Compiles those that are not stored yet. Raises LeptonError."""

    def choose_shapes(self) -> dict[str, float]:
        """Measures, once a machine, which of two shapes the stored kernels of a format should have.

        Returns how many times as fast the other shape is, for the formats that get it now.
        """


class CpuKernels:
    def __init__(self, root: Path, on_compile: Callable[[Compiling], None]) -> None:
        self._store = ObjectStore(root, on_compile)
        self._stored = cached_kernels(root, self._store.rung)
        self.instructions, self.folder = self._store.rung.name, self._stored.folder

    def count(self) -> int:
        return len(self._stored.sizes())

    def compile_all(self) -> None:
        """All that models run."""
        from ops.cpu.compiling import all_kernels

        self._store.prepare(
            name
            for name in all_kernels()
            if not (name.endswith(UNPACKED) or name.startswith(ENCODE))
        )

    def choose_shapes(self) -> dict[str, float]:
        from ops.cpu.measures.shapes import choose_shapes

        return choose_shapes(self._store)


class CardKernels:
    def __init__(self, card: Card, root: Path, on_compile: Callable[[Compiling], None]) -> None:
        from ops.cuda.compile.codes import CodeStore, NoLoader, card_kernels

        self._stored = card_kernels(root, card.target)
        threads = default_threads().count
        self._store = CodeStore(NoLoader(card.capability), root, threads, on_compile)
        self.instructions, self.folder = card.target, self._stored.folder

    def count(self) -> int:
        return len(self._stored.sizes())

    def compile_all(self) -> None:
        from ops.cuda.kernels import KERNELS

        self._store.prepare(KERNELS)

    def choose_shapes(self) -> dict[str, float]:
        return {}


def all_kernels(root: Path, on_compile: Callable[[Compiling], None]) -> list[Kernels]:
    """The kernels for the CPU and, if there is a card, for the card."""
    found, card = list[Kernels]([CpuKernels(root, on_compile)]), find_card()
    if isinstance(card, Card):
        found.append(CardKernels(card, root, on_compile))
    return found
