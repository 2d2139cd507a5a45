"""A model on the CPU: its program with all addresses resolved, run step by step."""

import threading
import time
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ops.cpu import layout as record
from ops.cpu.executor import Executor
from ops.cpu.formats import bf16_formats, quantized_formats
from ops.cpu.instruction_sets.rung import Rung
from ops.cpu.lower import SCRATCH, Call, Lowering, encode, rows, scratch_bytes
from ops.cpu.objects import ObjectStore
from ops.cpu.records import Record
from ops.cpu.rules.table import lower
from ops.cpu.schedule import barriers
from ops.cpu.weights.files import WeightFiles
from ops.cpu.weights.packing import Packed, Packing
from ops.fusion import fuse, fuse_merged_gates
from ops.interface import Step, Weight
from ops.logits import Logits, RankedLogits
from ops.machine import available_memory
from ops.memory_plan import Limits, plan
from ops.narrowing import narrow
from ops.needs import Needs, needs_of
from ops.operations.base import Buffer, Operation, Use
from ops.profile import OperatorTime
from ops.program import Program
from ops.state.blocks import BlockPool
from ops.state.formats import CacheType
from ops.state.layout import StateLayout
from ops.state.sequence import SequenceState, reserve

RANKED_WIDTH = 4096  # of logits; NumPy ranks fewer as fast as threads meet once more

Records = list[tuple[str, Record, bool]]  # kernel, operands, whether a barrier comes first


def fused_for_cpu(program: Program, rung: Rung) -> Program:
    """The program with the operators that the CPU runs with a rung's instructions."""
    output = program.output.buffer
    merged = fuse_merged_gates(narrow(program.operations), record.PANEL_ROWS, output)
    quantized, in_bf16 = quantized_formats(), bf16_formats(rung)
    operations = fuse(merged, quantized, record.ACTIVATION_BYTES, in_bf16, output)
    return replace(program, operations=tuple(operations))


def cpu_needs(
    program: Program,
    limits: Limits,
    kv: tuple[CacheType, CacheType],
    threads: int,
    rung: Rung,
) -> Needs:
    """Weights as in the file; of a table that is read where it is mapped, the rows of a step.

    The threads' scratch counts as buffers.
    """

    def size(use: Use) -> int:
        data = use.weight.data
        return (data[: limits.tokens] if use.role == "table" else data).nbytes

    fused = fused_for_cpu(program, rung)
    layout = StateLayout.of(fused, *kv)
    _, buffers = plan(fused.operations, limits, program.output.buffer, program.given)
    buffers += threads * most_scratch(fused.operations, limits, layout)
    return replace(needs_of(fused, layout, buffers, size), state=layout.slot_bytes)


def most_scratch(operations: Sequence[Operation], limits: Limits, layout: StateLayout) -> int:
    """The largest scratch of a thread, in bytes."""
    return max(scratch_bytes(operation, limits, layout) for operation in operations)


class CpuRunner:
    """Runs a program; its KV cache grows as positions are used."""

    def __init__(
        self,
        program: Program,
        kv: tuple[CacheType, CacheType],
        limits: Limits,
        threads: int,
        kernels: ObjectStore,
        files: WeightFiles | None = None,
    ) -> None:
        """`files`: where packed weights are kept for later starts."""
        fused = fused_for_cpu(program, kernels.rung)
        self._wanted, self._given = program.output.buffer, program.given
        self._reads_ends = program.sees_others
        self.digest = fused.digest()
        layout = StateLayout.of(fused, *kv)
        self.pool, self.limits = BlockPool(layout), limits
        self._operations = operations = fused.operations
        packing = Packing(files, program.sources)
        # owns what the operands point to
        self._lowering = Lowering(layout, limits, packing, kernels.unpacked)
        self._kernels = kernels  # owns the code
        self._step = np.zeros(2 * record.STEP_FIELDS, np.int64)
        calls = [lower(self._lowering, operation) for operation in operations]
        self._ranks = program.output.kind == "logits" and self._wanted.width >= RANKED_WIDTH
        names = ["replay", "pack", "advise", *["largest"] * self._ranks]
        kernels.prepare([*names, *(call.kernel for call in calls)])
        places, size = plan(operations, limits, self._wanted, self._given)
        self._place(places, size, most_scratch(operations, limits, layout) * threads)
        self._executor = Executor(kernels, threads)
        weakref.finalize(self, self._executor.close)
        self._begin_packing()
        waits = barriers(operations, places, limits)
        self._records: Records = [
            (call.kernel, self._operands(call), wait)
            for call, wait in zip(calls, waits, strict=True)
        ]
        self._ids = np.zeros((limits.rows(self._wanted), record.LARGEST), np.int32)
        self._values = np.zeros(self._ids.shape, np.float32)
        self._ranking = self._ranking_call()
        self._program = self._assembled([*self._records, *self._ranking])

    def run(
        self, step: Step, states: Sequence[SequenceState], interrupt: threading.Event | None = None
    ) -> Logits:
        """The program's output, (O, V) logits, valid until the next step.

        `states` has one for each sequence of the step.

        Raises Interrupted, OutOfMemoryError.
        """
        assert len(step.tokens) <= self.limits.tokens and len(step.outputs) <= self.limits.outputs
        self._enter(step, states)
        self._replay(self._program, interrupt)
        logits = self._rows(self._wanted, step)
        if not self._ranks:
            return logits
        count = len(logits)
        return RankedLogits(lambda: logits, (self._ids[:count], self._values[:count]))

    def profile(self, step: Step, states: Sequence[SequenceState]) -> list[OperatorTime]:
        """A step with all threads meeting after each operator. Raises UsageError, OutOfMemoryError.

        The first, `start`, is the time until all threads are at work.
        """
        self._enter(step, states)
        records = [(kernel, operands, True) for kernel, operands, _ in self._records]
        program = self._assembled([("nothing", Record([]), True), *records])
        begin = time.perf_counter()
        ends = self._executor.timed((program.ctypes.data, self._step.ctypes.data, len(program)))
        took = np.diff(ends)
        start = time.perf_counter() - begin - float(took.sum())
        times = [OperatorTime("start", start, 0, 0)]
        for (kernel, _, _), op, seconds in zip(self._records, self._operations, took, strict=True):
            cost = op.costs(step, self.pool.layout)
            times.append(OperatorTime(kernel, float(seconds), cost.bytes, cost.macs))
        return times

    def room(self) -> int:
        """How many more blocks of the cache fit into memory."""
        self._executor.wait()  # until the weights are packed, their memory looks free
        return available_memory().bytes // max(1, self.pool.layout.block_bytes)

    def reread(self, vectors: Iterable[Weight]) -> None:
        self._executor.wait()  # for an interrupted step that still reads them
        for vector in vectors:
            self._lowering.reread(vector)

    def _enter(self, step: Step, states: Sequence[SequenceState]) -> None:
        """Fills the step record and the buffers of what is given."""
        reserve(step, states)
        self._executor.wait()  # for packing, or for an interrupted step that still reads the record
        if self._packing:
            self._lowering.packing.end()
            self._packing.clear()
        tables = [state.table() for state in states]
        of_outputs = step.of_outputs()
        fields, fields_of_outputs = self._step.reshape(2, record.STEP_FIELDS)
        arrays = [_fill(fields, step, tables)]
        if self._reads_ends:
            arrays.append(_fill_ends(fields, step.ends()))
        if of_outputs is step:
            fields_of_outputs[:] = fields
        else:
            arrays.append(_fill(fields_of_outputs, of_outputs, tables))
            if self._reads_ends:
                arrays.append(_fill_ends(fields_of_outputs, step.ends()[step.outputs]))
        self._step_arrays = step, of_outputs, tables, arrays
        for buffer, given in zip(self._given, step.given, strict=True):
            self._rows(buffer, step)[:] = given
        if self.pool.layout.slots:
            addresses = [self.pool.slots_address(state.slots) for state in states]
            self._slots = np.array(addresses, np.int64)
            self._step[record.SLOTS] = self._slots.ctypes.data

    def close(self) -> None:
        """Ends the threads and frees unused cache blocks; a closed runner refuses to run."""
        self._executor.close()
        self.pool.clear()

    def _place(self, places: dict[Buffer, int], size: int, scratch: int) -> None:
        """Allocates the buffers, followed by `scratch` bytes for the threads."""
        self._memory = np.zeros(size + scratch + 128, np.uint8)
        base = -(-self._memory.ctypes.data // 64) * 64
        self._addresses = {buffer: base + place for buffer, place in places.items()}
        self._addresses[SCRATCH] = base + size

    def _ranking_call(self) -> Records:
        """The call that ranks the logits, where it is made."""
        if not self._ranks:
            return []
        width = self._wanted.width
        self._maxima = np.zeros((self._executor.threads, record.maxima_room(width)), np.float32)
        arrays = (self._ids, self._values, self._maxima)
        places = self._addresses[self._wanted], *(array.ctypes.data for array in arrays)
        sizes = width, self._maxima.strides[0], rows(self._wanted)[0]
        return [("largest", Record([*places, *sizes]), True)]

    def _begin_packing(self) -> None:
        """Starts packing; the first step waits for its end, so Python goes on meanwhile."""
        packing = self._lowering.packing
        calls: Records = [(name, Record(operands), True) for name, operands in packing.calls()]
        program = self._assembled(calls)
        self._packing: list[object] = [calls, program]  # kept until packing has ended
        self._executor.begin((program.ctypes.data, self._step.ctypes.data, len(program)))

    def _operands(self, call: Call) -> Record:
        values = []
        for operand in call.operands:
            if isinstance(operand, Buffer):
                values.append(self._addresses[operand])
            elif isinstance(operand, Packed):
                values.append(self._lowering.packing.address(operand))
            else:
                values.append(encode(operand))
        return Record(values)

    def _assembled(self, records: Records) -> NDArray[np.int64]:  # (calls, 3)
        """The array for `replay`: addresses of kernel and operands, and if a barrier follows."""
        waits = [wait for _, _, wait in records[1:]] + [True] * bool(records)
        rows = [
            (self._kernels.address(kernel), operands.address, wait)
            for (kernel, operands, _), wait in zip(records, waits, strict=True)
        ]
        return np.array(rows, np.int64).reshape(len(rows), 3)

    def _replay(self, program: NDArray[np.int64], interrupt: threading.Event | None = None) -> None:
        job = (program.ctypes.data, self._step.ctypes.data, len(program))
        self._executor.run(job, interrupt)

    def _rows(self, buffer: Buffer, step: Step) -> NDArray[np.float32]:
        """What the buffer holds of a step, in place."""
        start, count = self._addresses[buffer] - self._memory.ctypes.data, buffer.count(step)
        stop = start + 4 * count * buffer.width
        return self._memory[start:stop].view(np.float32).reshape(count, buffer.width)


def _fill_ends(fields: NDArray[np.int64], ends: NDArray[np.int32]) -> object:
    """The field of where each token's run ends; gives the array that it points to.

    Only attention that sees whole runs reads it.
    """
    fields[record.ENDS] = ends.ctypes.data
    return ends


def _fill(fields: NDArray[np.int64], step: Step, tables: list[NDArray[np.int64]]) -> object:
    """The fields of a step's record; gives the arrays that they point to."""
    starts = np.array([*step.starts, len(step.tokens)], np.int32)
    places = np.array([table.ctypes.data for table in tables], np.int64)
    of_tokens = np.repeat(places, np.diff(starts))
    fields[record.TOKENS], fields[record.OUTPUTS] = len(step.tokens), len(step.outputs)
    fields[record.TOKEN_IDS] = step.tokens.ctypes.data
    fields[record.POSITIONS] = step.positions.ctypes.data
    fields[record.OUTPUT_ROWS] = step.outputs.ctypes.data
    fields[record.TABLES] = of_tokens.ctypes.data
    fields[record.RUN_STARTS], fields[record.RUNS] = starts.ctypes.data, len(tables)
    return starts, of_tokens
