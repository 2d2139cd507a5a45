"""Opening a backend by name: the one place that decides what runs a model's forward pass."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ops.cache import CacheLayout
from ops.cpu.objects import ObjectStore
from ops.cpu.runner import CpuRunner
from ops.cuda.device import Device
from ops.cuda.probe import Card
from ops.interface import Array, Operators
from ops.memory_plan import Limits
from ops.program import record
from ops.reference import ReferenceRunner
from ops.shelves import Compiling

if TYPE_CHECKING:
    from ops.cuda.runner import CudaRunner
    from ops.split import SplitRunner

BackendName = Literal["cpu", "reference"]


@dataclass(frozen=True, slots=True)
class Resources:
    """What a backend may use. `kernels` is the folder for compiled kernels."""

    threads: int
    kernels: Path
    on_compile: Callable[[Compiling], None]


def open_backend(
    name: BackendName,
    forward: Callable[[Operators], Array],
    layout: CacheLayout,
    limits: Limits,
    resources: Resources,
) -> CpuRunner | ReferenceRunner:
    """A runner for one model. The first one ever compiles the kernels that the model needs."""
    if name == "reference":
        return ReferenceRunner(forward, layout)
    store = ObjectStore(resources.kernels, resources.on_compile)
    return CpuRunner(record(forward), layout, limits, resources.threads, store)


def open_device(card: Card) -> Device:
    """The card, held until it is closed. Raises LeptonError."""
    from ops.cuda.driver import open_driver  # of the extra: imported where there is a card

    return open_driver(card.index)


def open_cuda(
    device: Device,
    forward: Callable[[Operators], Array],
    layout: CacheLayout,
    limits: Limits,
    resources: Resources,
    layers_on_gpu: int,
) -> "CudaRunner | SplitRunner":
    """A runner with the last layers on the card, the others on the CPU; it closes the device.

    Raises OutOfMemoryError, UsageError for types that the card's cache does not know, LeptonError.
    """
    from ops.cuda.cache import CardCacheLayout  # all of it only where there is a card
    from ops.cuda.codes import CodeStore
    from ops.cuda.runner import CudaRunner
    from ops.split import SplitRunner, halves

    program = record(forward)
    first = len(layout.layers) - layers_on_gpu
    codes = CodeStore(device, resources.kernels, resources.threads, resources.on_compile)
    if not first:
        whole = CardCacheLayout(layout.layers, layout.k, layout.v)
        return CudaRunner(device, program, whole, limits, codes)
    on_cpu, on_card = halves(layout.layers, first)
    before, behind = program.split(first)
    theirs = CardCacheLayout(on_card, layout.k, layout.v)
    second = CudaRunner(device, behind, theirs, limits, codes)
    store = ObjectStore(resources.kernels, resources.on_compile)
    own = replace(layout, layers=on_cpu)
    return SplitRunner(layout, CpuRunner(before, own, limits, resources.threads, store), second)
