"""Opening a backend by name: the one place that decides what runs a model's forward pass."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ops.cache import CacheLayout
from ops.cpu.objects import Compiling, ObjectStore
from ops.cpu.runner import CpuRunner
from ops.interface import Array, Operators
from ops.program import Limits
from ops.reference import ReferenceRunner

BackendName = Literal["cpu", "reference"]


@dataclass(frozen=True, slots=True)
class Resources:
    """What a backend may use. `kernels` is the folder for compiled kernels (None: keep none)."""

    threads: int
    kernels: Path | None
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
    return CpuRunner(forward, layout, limits, resources.threads, store)
