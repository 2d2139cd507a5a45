"""Runs a model's forward pass with NumPy, step by step."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from ops.interface import (
    Interrupted,
    Step,
    Weight,
)
from ops.machine import available_memory
from ops.memory_plan import Limits, plan
from ops.needs import Needs, needs_of
from ops.operations.base import Use
from ops.profile import OperatorTime
from ops.program import Program
from ops.reference.arithmetic import Floats, exact
from ops.reference.cache import PlainCache
from ops.reference.operators import Reference
from ops.state.blocks import BlockPool
from ops.state.formats import CacheType
from ops.state.layout import StateLayout
from ops.state.sequence import SequenceState, reserve
from quant.errors import UsageError
from quant.format import dequantize


def reference_needs(program: Program, limits: Limits, kv: tuple[CacheType, CacheType]) -> Needs:
    """Weights in the file and as float32; the cache is float32 whatever types it stands for."""

    def size(use: Use) -> int:
        return use.weight.data.nbytes + 4 * len(use.weight.data) * use.weight.columns

    _, buffers = plan(program.operations, limits, program.output.buffer, program.given)
    StateLayout.of(program, *kv)  # types that do not fit are refused
    layout = StateLayout.of(program, "f32", "f32")
    return replace(needs_of(program, layout, buffers, size), state=layout.slot_bytes)


class ReferenceRunner:
    """Runs a model's forward pass step by step; the weights are dequantized when first used."""

    def __init__(
        self,
        program: Program,
        kv: tuple[CacheType, CacheType],
        entering: Callable[[Weight, Floats], Floats] = exact,
    ) -> None:
        assert program.forward is not None, "only a whole program can be computed as it was written"
        self._entering, self._types, self.digest = entering, kv, program.digest()
        self._forward = program.forward
        self._weights = dict[tuple[int, tuple[int, ...], str], Floats]()
        StateLayout.of(program, *kv)  # types that do not fit are refused
        self.pool = BlockPool(StateLayout.of(program, "f32", "f32"))

    def run(  # (O, V)
        self, step: Step, states: Sequence[SequenceState], interrupt: threading.Event | None = None
    ) -> Floats:
        """Raises Interrupted, but only before a step: none is broken off."""
        if interrupt is not None and interrupt.is_set():
            raise Interrupted
        reserve(step, states)
        plain = [PlainCache(state, *self._types) for state in states]
        wanted = len(step.outputs)
        if not wanted:  # NumPy does not reshape arrays without rows
            step = replace(step, outputs=np.zeros(1, np.int32))
        logits: Floats = self._forward(Reference(step, plain, self._values, self._entering))
        return logits[:wanted]

    def profile(self, step: Step, states: Sequence[SequenceState]) -> list[OperatorTime]:
        """Raises UsageError: operators are not timed."""
        raise UsageError("the reference backend has no profile", "use --backend cpu")

    def room(self) -> int:
        """How many more blocks of cache memory has room for."""
        return available_memory().bytes // max(1, self.pool.layout.block_bytes)

    def reread(self, vectors: Iterable[Weight]) -> None:
        for vector in vectors:
            self._weights.pop(_key(vector), None)

    def close(self) -> None:
        self._weights.clear()
        self.pool.clear()

    def _values(self, weight: Weight) -> Floats:  # (experts * rows, columns)
        key = _key(weight)
        if key not in self._weights:
            self._weights[key] = dequantize(weight.format, weight.data)
        return self._weights[key]


def _key(weight: Weight) -> tuple[int, tuple[int, ...], str]:
    return weight.data.ctypes.data, weight.data.shape, weight.format.name
