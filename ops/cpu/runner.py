"""A model on the CPU: its program with all addresses filled in, run step by step."""

import threading
import weakref
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ops.cache import CacheLayout, KVCache
from ops.cpu import layout as record
from ops.cpu.executor import Executor
from ops.cpu.lower import SCRATCH, Call, Lowering, encode
from ops.cpu.objects import ObjectStore
from ops.interface import Array, Operators, Step
from ops.program import Buffer, Limits, Recorder, plan


class CpuRunner:
    """Records the forward pass once, then replays it; grows its KV cache as positions are used."""

    def __init__(
        self,
        forward: Callable[[Operators], Array],
        cache: CacheLayout,
        limits: Limits,
        threads: int,
        kernels: ObjectStore,
    ) -> None:
        recorder = Recorder()
        self._logits: Buffer = forward(recorder)
        self.cache, self.limits = KVCache(cache), limits
        self._lowering = Lowering(cache)  # holds the weights that the operands point to
        self._kernels = kernels  # holds the code
        calls = self._lowering.lower(recorder.operations)
        places, size = plan(recorder.operations, limits, self._logits)
        scratch = max(call.scratch for call in calls)
        self._memory = np.zeros(size + 4 * scratch * threads + 64, np.uint8)
        base = -(-self._memory.ctypes.data // 64) * 64
        self._addresses = {buffer: base + place for buffer, place in places.items()}
        self._addresses[SCRATCH] = base + size
        self._operands = [self._record(call) for call in calls]
        functions = [kernels.address(call.kernel) for call in calls]
        operands = [record.ctypes.data for record in self._operands]
        self._program = np.array([functions, operands], np.int64).T.copy()
        self._step = np.zeros(record.STEP_FIELDS, np.int64)
        self._executor = Executor(kernels.address("replay"), threads)
        weakref.finalize(self, self._executor.close)

    def run(self, step: Step, interrupt: threading.Event | None = None) -> NDArray[np.float32]:
        """Logits (O, V), valid until the next step. Raises Interrupted, OutOfMemoryError."""
        assert len(step.tokens) <= self.limits.tokens and len(step.outputs) <= self.limits.outputs
        self.cache.reserve(int(step.positions.max()) + 1)
        self._executor.settle()  # a step that was broken off may still be reading its record
        self._held = table, step = self.cache.table(), step
        fields = self._step
        fields[record.TOKENS], fields[record.OUTPUTS] = len(step.tokens), len(step.outputs)
        fields[record.TOKEN_IDS] = step.tokens.ctypes.data
        fields[record.POSITIONS] = step.positions.ctypes.data
        fields[record.OUTPUT_ROWS] = step.outputs.ctypes.data
        fields[record.TABLE] = table.ctypes.data
        job = (self._program.ctypes.data, fields.ctypes.data, len(self._program))
        self._executor.run(job, interrupt)
        return self._output(len(step.outputs))

    def close(self) -> None:
        """A closed runner refuses to run; its threads and its cache are gone."""
        self._executor.close()
        self.cache.shrink(0)

    def _record(self, call: Call) -> NDArray[np.int64]:
        values = [
            self._addresses[operand] if isinstance(operand, Buffer) else encode(operand)
            for operand in call.operands
        ]
        return np.array(values, np.int64)

    def _output(self, count: int) -> NDArray[np.float32]:
        start = self._addresses[self._logits] - self._memory.ctypes.data
        stop = start + 4 * count * self._logits.width
        return self._memory[start:stop].view(np.float32).reshape(count, self._logits.width)
