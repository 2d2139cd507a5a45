"""Runs a model on a card: launches are prepared once per step size and replayed as graphs."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ops.cuda.cache import CardStateLayout
from ops.cuda.compile.codes import CodeStore
from ops.cuda.device.device import Device, Graph, Launch
from ops.cuda.drawing import CardDrawing
from ops.cuda.formats import ACTIVATION_BYTES, QUANTIZED
from ops.cuda.kernels.largest import KEPT
from ops.cuda.logits import CardLogits
from ops.cuda.lowering.attending import tiles_of
from ops.cuda.lowering.lower import Lowering, StepAddresses
from ops.cuda.lowering.merging import merge
from ops.cuda.lowering.placing import Placing, matrix_bytes, packing_kernels
from ops.cuda.lowering.records import Counts, RecordAddresses, packed_record
from ops.cuda.pool import CardPool
from ops.cuda.rules.table import lower
from ops.drawing import DrawPlan
from ops.fusion import fuse
from ops.interface import Interrupted, Step, Weight
from ops.logits import RankedLogits
from ops.memory_plan import Limits, plan
from ops.needs import Needs, needs_of
from ops.operations.attention import Attention
from ops.operations.base import Cost, Operation, Use
from ops.profile import OperatorTime
from ops.program import Program
from ops.state.formats import CacheType
from ops.state.sequence import SequenceState, reserve
from quant.errors import UsageError

GRAPHS = 24  # kept; the least recently used one is replaced
GRAPH_ROWS = 32  # longer steps are launched one by one: their kernels outlast the launches
RECORD_BYTES, SCRATCH_STEP = 1 << 16, 1 << 20
Floats = NDArray[np.float32]


@runtime_checkable
class Timing(Protocol):
    """A device that can time kernels."""

    def timed(self, launches: Sequence[Launch]) -> list[float]:
        """Runs them; the seconds of each."""


def fused_for_card(program: Program) -> Program:
    """The program as it is launched."""
    output = program.output.buffer
    fused = fuse(program.operations, QUANTIZED, ACTIVATION_BYTES, output=output)
    operations = merge(fused, output)
    return replace(program, operations=tuple(operations))


def card_needs(program: Program, limits: Limits, kv: tuple[CacheType, CacheType]) -> Needs:
    """The memory that a program needs: matrices as the card stores them, vectors as float32."""

    def size(use: Use) -> int:
        weight = use.weight
        if use.role == "vector":
            return 4 * weight.columns * len(weight.data)
        return weight.experts * matrix_bytes(weight)

    fused = fused_for_card(program)
    _, buffers = plan(fused.operations, limits, program.output.buffer, program.given)
    return needs_of(fused, CardStateLayout.of(fused, *kv), buffers, size)


class CudaRunner:
    """Runs a program step by step; grows its KV cache as positions are used."""

    def __init__(
        self,
        device: Device,
        program: Program,
        kv: tuple[CacheType, CacheType],
        limits: Limits,
        kernels: CodeStore,
    ) -> None:
        """Compiles missing kernels, then uploads the weights.

        Raises OutOfMemoryError, LeptonError.
        """
        self._device, self._program, self.limits = device, program, limits
        fused = fused_for_card(program)
        layout, self.digest = CardStateLayout.of(fused, *kv), fused.digest()
        self.pool = CardPool(layout, device)
        self._placing = Placing(device)
        lowering = Lowering(self._placing, layout)
        self._operations = fused.operations
        attention = [op for op in self._operations if isinstance(op, Attention)]
        self._shapes = tuple({tiles_of(op.heads): None for op in attention})
        self._lowered = [lower(lowering, operation) for operation in self._operations]
        kernels.prepare(
            [
                *packing_kernels(self._placing.kinds),
                *(name for lowered in self._lowered for name in lowered.kernels),
                *("largest", "draw"),
            ]
        )
        self._placing.fetch()
        self._wanted = program.output.buffer
        places, size = plan(self._operations, limits, self._wanted, program.given)
        self._buffers_at = device.allocate(max(size, 256))
        self._buffers = {buffer: self._buffers_at + place for buffer, place in places.items()}
        self._scratch, self._scratch_bytes = 0, 0
        output, rows = self._wanted, limits.outputs
        self._logits = None
        if program.output.kind == "logits":
            self._logits = CardLogits(device, self._buffers[output], output.width, rows)
        self._drawing = CardDrawing(device, self._logits) if self._logits else None
        self._record, self._record_bytes = device.allocate(RECORD_BYTES), RECORD_BYTES
        self._graphs: OrderedDict[tuple[Counts, bool], Graph] = OrderedDict()
        self._closed = False

    def run(
        self,
        step: Step,
        states: Sequence[SequenceState],
        interrupt: threading.Event | None = None,
    ) -> Floats | RankedLogits:
        """The program's output, (O, V) logits.

        Raises Interrupted, OutOfMemoryError, LeptonError.
        """
        self._enter(step, states)
        if interrupt is not None and interrupt.is_set():
            raise Interrupted
        counts = Counts.of(step)
        if counts.tokens > GRAPH_ROWS:
            for launch in self.launches(counts):
                self._device.launch(launch)
        else:
            self._graph(counts, drawing=False).replay()
        output = self._output(counts)
        if interrupt is not None and interrupt.is_set():
            raise Interrupted
        return output

    def _output(self, counts: Counts) -> Floats | RankedLogits:
        """Waits for the step. Only the largest logits are fetched; all of them on request."""
        wanted, rows = self._wanted, counts.rows(self._wanted)
        if not rows:
            self._device.synchronize()
            return np.empty((0, wanted.width), np.float32)
        if self._logits:
            return self._logits.rows(rows)
        output = np.empty((rows, wanted.width), np.float32)
        self._device.download(self._buffers[wanted], output)
        return output

    @property
    def operations(self) -> Sequence[Operation]:
        """In the order of their launches."""
        return self._operations

    @property
    def most_drawn(self) -> int:
        return KEPT if self._drawing else 0

    @property
    def vocabulary(self) -> int:
        return self._wanted.width

    def draw(
        self, step: Step, state: SequenceState, plan: DrawPlan, numbers: Sequence[float]
    ) -> NDArray[np.int32]:
        """See ops.drawing.Drawer: replays one graph per token, which draws at its end."""
        assert self._drawing and len(step.tokens) == len(step.outputs) == 1
        count, first = len(numbers), int(step.positions[0])
        state.reserve(first, first + count)
        last = replace(step, positions=step.positions + np.int32(count - 1))
        counts = Counts.of(last)
        self._enter(step, [state], counts)
        self._drawing.begin(plan, np.array(numbers, np.float64))
        graph = self._graph(counts, drawing=True)
        for _ in range(count):
            graph.replay()
        return self._drawing.drawn(count)

    def profile(self, step: Step, states: Sequence[SequenceState]) -> list[OperatorTime]:
        """Times a step on the card; an operator is named by its first kernel.

        Raises UsageError for a card without a clock, OutOfMemoryError, LeptonError.
        """
        if not isinstance(self._device, Timing):
            raise UsageError(f"{self._device.name} times no kernels", "use --backend cpu")
        self._enter(step, states)
        parts = self._by_operator(Counts.of(step))
        took = iter(self._device.timed([launch for part in parts for launch in part]))
        costs = [*(op.costs(step, self.pool.layout) for op in self._operations), Cost()]
        return [
            OperatorTime(part[0].kernel, sum(islice(took, len(part))), cost.bytes, cost.macs)
            for part, cost in zip(parts, costs, strict=True)
            if part
        ]

    def room(self) -> int:
        """How many more blocks of cache the card has memory for."""
        return self._device.memory()[0] // max(1, self.pool.layout.block_bytes)

    def reread(self, vectors: Iterable[Weight]) -> None:
        for vector in vectors:
            self._placing.reread(vector)

    def launches(self, counts: Counts) -> list[Launch]:
        """All launches of a step."""
        return [launch for part in self._by_operator(counts) for launch in part]

    def _by_operator(self, counts: Counts) -> list[list[Launch]]:
        """Each operator's launches, none if it has no rows; last those for the largest logits."""
        scratch = max((lowered.scratch(counts) for lowered in self._lowered), default=0)
        self._reserve_scratch(scratch)
        at = StepAddresses(
            counts,
            RecordAddresses(self._record, counts, self._shapes),
            self._buffers,
            self._scratch,
        )
        made = [list(lowered.launches(at)) for lowered in self._lowered]
        made.append(self._logits.launches(counts.outputs) if self._logits else [])
        return [[launch for launch in part if all(launch.grid)] for part in made]

    def close(self) -> None:
        """Frees the card's memory; a closed runner raises."""
        if self._closed:
            return
        self._closed = True
        self._forget_graphs()
        self.pool.clear()
        self._placing.close()
        for part in (self._drawing, self._logits):
            if part:
                part.close()
        for address in (self._buffers_at, self._record, *([self._scratch] * bool(self._scratch))):
            self._device.free(address)
        self._device.close()

    def _enter(
        self,
        step: Step,
        states: Sequence[SequenceState],
        counts: Counts | None = None,
    ) -> None:
        """Uploads the step's record and what is given; `counts` may allow for more blocks."""
        if self._closed:
            raise UsageError("the model is closed", "load it again")
        assert len(step.tokens) <= self.limits.tokens and len(step.outputs) <= self.limits.outputs
        reserve(step, states)
        tables = [state.table() for state in states]
        counts = counts or Counts.of(step)
        needed = RecordAddresses(0, counts, self._shapes).end + 8 * sum(map(len, tables))
        if needed > self._record_bytes:
            fresh = self._device.allocate(2 * needed)
            self._forget_graphs()  # graphs hold the old address
            self._device.free(self._record)
            self._record, self._record_bytes = fresh, 2 * needed
        record = packed_record(step, RecordAddresses(self._record, counts, self._shapes), tables)
        self._device.upload(self._record, record)
        for buffer, values in zip(self._program.given, step.given, strict=True):
            self._device.upload(self._buffers[buffer], values)

    def _graph(self, counts: Counts, *, drawing: bool) -> Graph:
        key = counts, drawing
        if key not in self._graphs:
            while len(self._graphs) >= GRAPHS:
                self._graphs.popitem(last=False)[1].close()
            launches = self.launches(counts)
            if drawing and self._drawing:
                launches.append(
                    self._drawing.launch(RecordAddresses(self._record, counts, self._shapes))
                )
            self._graphs[key] = self._device.capture(launches)
        self._graphs.move_to_end(key)
        return self._graphs[key]

    def _reserve_scratch(self, size: int) -> None:
        if size <= self._scratch_bytes:
            return
        self._forget_graphs()
        if self._scratch:
            self._device.free(self._scratch)
        self._scratch, self._scratch_bytes = 0, 0  # stays so if the allocation fails
        size = -(-size // SCRATCH_STEP) * SCRATCH_STEP
        self._scratch, self._scratch_bytes = self._device.allocate(size), size

    def _forget_graphs(self) -> None:
        for graph in self._graphs.values():
            graph.close()
        self._graphs.clear()
