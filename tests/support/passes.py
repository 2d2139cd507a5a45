"""Forward passes for tests: a file's model on a backend, without the engine."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lepton_cli.engine.decoding.prompts import Prompts
from lepton_cli.engine.decoding.window import Passes, Window
from lepton_cli.engine.loading import plan as loading
from ops.backend import BackendName, CacheTypes, CpuBackend, Resources, backend_of
from ops.cpu.runner import CpuRunner
from ops.memory_plan import Limits
from ops.program import Program
from ops.recorder import record
from ops.state.formats import CacheType
from quant.gguf import GGUF

Logits = NDArray[np.float32]

FEW = frozenset({"F32", "F16", "BF16", "Q4_0", "Q8_0", "Q3_K", "Q4_K", "Q6_K"})
FEW |= frozenset({"IQ4_XS", "IQ2_XS", "TQ1_0"})
"""Formats of each way of kernels."""


def few(kinds: Iterable[str]) -> list[Any]:
    """Formats as a test's parameters. Those beyond `FEW` are left to the weekly tests, as each
    takes seconds to compile."""
    return [
        pytest.param(kind, marks=[] if kind in FEW else pytest.mark.weekly)
        for kind in sorted(kinds)
    ]


def kernel_folder() -> Path:
    return Path(os.environ["XDG_CACHE_HOME"]) / "lepton" / "kernels"


def resources(threads: int = 2) -> Resources:
    return Resources(threads, kernel_folder(), lambda name: None)


def open_on_cpu(
    forward, limits: Limits, kv: CacheTypes = ("f16", "f16"), threads: int = 2
) -> CpuRunner:
    """A forward pass as it runs on the CPU."""
    return CpuBackend(kv, resources(threads)).open_part(record(forward), limits)


def open_positions(
    path: Path,
    backend: BackendName,
    kv: CacheType = "f32",
    threads: int = 2,
    chunk: int = 256,
    context: int | None = None,
) -> tuple[Window, Callable[[], None]]:
    """The model's empty window, and the function that closes it. `context` None: as trained."""
    file = GGUF.open(path)
    context = context or loading.trained_context(file)
    program = loading.build(file, context)
    whole = program.sees_whole_runs
    limits = Limits(chunk, chunk if whole else 32)
    runner = backend_of(backend, (kv, kv), resources(threads)).open(program, limits)
    passes = Passes(runner, chunk, limits.outputs, whole=whole, prompts=prompts_of(program))
    return Window(passes, context), runner.close


def prompts_of(program: Program) -> Prompts:
    return Prompts(program.encoder.start if program.encoder else None)


def logits_of(  # (T, V)
    path: Path, ids: NDArray[np.int32], backend: BackendName, context: int | None = None
) -> Logits:
    """Of a model with an encoder, from the start token on; see `sequence_of`."""
    positions, close = open_positions(path, backend, context=context)
    result = positions.all_logits(sequence_of(path, ids.tolist()))
    close()
    return result


def sequence_of(path: Path, ids: list[int]) -> list[int]:
    """The same, with a start token in the middle where an encoder has to read the first half."""
    encoder = loading.build(GGUF.open(path), 1).encoder
    if encoder is None or encoder.start in ids:
        return ids
    return [*ids[: len(ids) // 2], encoder.start, *ids[len(ids) // 2 :]]


def nmse(got: Logits, want: Logits) -> float:
    """Normalised mean square error."""
    return float(np.sum((got - want) ** 2, dtype=np.float64) / np.sum(want**2, dtype=np.float64))


def ids_of(count: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(3, 250, count).tolist()
