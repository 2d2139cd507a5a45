"""From a fused recording to launches: which kernels an operator takes, and how they are started."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ops.cuda import attending
from ops.cuda.cache import CardCacheLayout
from ops.cuda.device import Launch
from ops.cuda.placing import Placed, Placing
from ops.cuda.products import (
    ALL,
    GATES,
    NOTHING,
    PANEL_ROWS,
    Chosen,
    Matrix,
    Part,
    Product,
    kernels_of,
)
from ops.cuda.records import Counts, Places
from ops.interface import Heads, Linear, Rope, Routing, Weight
from ops.program import Buffer, Operation

GATINGS = {"softmax": 0, "sigmoid": 1, "softmax_of_chosen": 2}
THREADS, NORM_THREADS, EMBED_THREADS, WARP = 256, 512, 128, 32
WARP_BYTES = 4 * NORM_THREADS // WARP  # of shared memory: a float a warp


@dataclass(frozen=True, slots=True)
class At:
    """Where things are in a step of certain sizes."""

    counts: Counts
    step: Places
    buffers: Mapping[Buffer, int]
    scratch: int

    def rows(self, buffer: Buffer) -> int:
        return self.counts.rows(buffer)

    def __getitem__(self, buffer: Buffer) -> int:
        return self.buffers[buffer]


Launches = Callable[[At], Iterable[Launch]]


@dataclass(frozen=True, slots=True)
class Lowered:
    """An operator: its launches in a step, and the kernels that it may need in any."""

    launches: Launches
    kernels: tuple[str, ...]
    scratch: Callable[[Counts], int] = lambda counts: 0  # bytes


class Lowering:
    """Places the weights that operators point to; their addresses are known when they are there."""

    def __init__(self, placing: Placing, layout: CardCacheLayout) -> None:
        self._placing, self._layout = placing, layout

    def lower(self, operation: Operation) -> Lowered:
        rule: Callable[..., Lowered] = getattr(self, f"_{operation.name}")
        return rule(*operation.inputs, *operation.outputs, *operation.parameters)

    def _embed(self, y: Buffer, table: Weight) -> Lowered:
        return self._gather(y, table, lambda at: at.step.ids)

    def _embed_positions(self, y: Buffer, table: Weight) -> Lowered:
        return self._gather(y, table, lambda at: at.step.positions)

    def _gather(self, y: Buffer, table: Weight, wanted: Callable[[At], int]) -> Lowered:
        placed = self._placing.matrix(table)
        name = f"embed_{placed.kind}"

        def launches(at: At) -> Iterator[Launch]:
            address, ids, target = self._placing.address(placed), wanted(at), at[y]
            operands: tuple[int, ...] = (address, placed.panel_bytes, ids, target, placed.blocks)
            if placed.kind == "F32":
                operands = (address, ids, target, table.columns)
            yield Launch(name, (at.rows(y), 1, 1), EMBED_THREADS, operands)

        return Lowered(launches, (name,))

    def _linear(self, x: Buffer, *rest: Any) -> Lowered:
        *added, y, w = rest
        return self._product(x, y, w, added=added[0] if added else None)

    def _gated_linear(self, x: Buffer, y: Buffer, gate: Linear, up: Linear, kind: str) -> Lowered:
        return self._product(x, y, gate, up, GATES[kind])

    def _gated_linear_quantize(
        self, x: Buffer, y: Buffer, quantized: Buffer, gate: Linear, up: Linear, kind: str
    ) -> Lowered:
        return self._product(x, y, gate, up, GATES[kind], quantized=quantized)

    def _linears(self, x: Buffer, *rest: Any) -> Lowered:
        """Products of the same input: outputs, then as many weights."""
        outputs, weights = rest[: len(rest) // 2], rest[len(rest) // 2 :]
        whole = self._placing.joined([w.weight for w in weights])
        biases = [w.bias for w in weights if w.bias]
        bias = self._placing.joined_floats(biases) if biases else None

        def launches(at: At) -> Iterator[Launch]:
            address, start, row = self._placing.address(whole), self._placing.address(bias), 0
            matrices = []
            for w in weights:
                place = address + row // PANEL_ROWS * whole.panel_bytes
                own = start + 4 * row if bias else 0
                matrices.append(_matrix_at(whole, place, own, 0, w.weight))
                row += w.weight.rows
            pairs = zip(outputs, weights, strict=True)
            count, parts = at.rows(outputs[0]), tuple(Part(at[y], w.weight.rows) for y, w in pairs)
            joined = replace(matrices[0], rows=row)
            product = Product(joined, NOTHING, at[x], at[outputs[0]], count, parts=parts)
            if product.at_once:
                yield from product.launches()
                return
            for matrix, part in zip(matrices, parts, strict=True):
                yield from Product(matrix, NOTHING, at[x], part.y, count).launches()

        return Lowered(launches, tuple(kernels_of(whole.kind, gated=False)))

    def _expert_linear(self, x: Buffer, *rest: Any) -> Lowered:
        *group, y, w = rest
        return self._product(x, y, w, group=tuple(group))

    def _gated_expert_linear(self, x: Buffer, *rest: Any) -> Lowered:
        *group, y, gate, up, kind = rest
        return self._product(x, y, gate, up, GATES[kind], group=tuple(group))

    def _product(
        self,
        x: Buffer,
        y: Buffer,
        w: Linear,
        up: Linear | None = None,
        gate: int = 0,
        added: Buffer | None = None,
        group: tuple[Buffer, ...] = (),  # each row's expert, rows by expert, where those begin
        quantized: Buffer | None = None,
    ) -> Lowered:
        first, second = self._matrix(w), self._matrix(up) if up else None

        def launches(at: At) -> Iterator[Launch]:
            chosen = ALL
            if group:
                ids, order, starts = (at[buffer] for buffer in group)
                chosen = Chosen(ids, order, starts, at.counts.tokens, y.multiple // x.multiple)
            product = Product(
                first(),
                second() if second else NOTHING,
                at[x],
                at[y],
                at.rows(y),
                gate,
                at[added] if added else 0,
                chosen,
                at[quantized] if quantized else 0,
            )
            yield from product.launches()
            if quantized and not product.at_once:
                yield _quantize(at, y, quantized)

        kind = self._placing.matrix(w.weight).kind
        kernels = kernels_of(kind, gated=up is not None)
        return Lowered(launches, (*kernels, *(["quantize"] if quantized else [])))

    def _matrix(self, w: Linear) -> Callable[[], Matrix]:
        placed = self._placing.matrix(w.weight)
        bias, factor = self._placing.floats(w.bias), self._placing.floats(w.scale)
        address = self._placing.address
        return lambda: _matrix_at(placed, address(placed), address(bias), address(factor), w.weight)

    def _quantize(self, x: Buffer, y: Buffer) -> Lowered:
        return Lowered(lambda at: [_quantize(at, x, y)], ("quantize",))

    def _rms_norm_quantize(self, x: Buffer, y: Buffer, w: Linear, eps: float) -> Lowered:
        return self._norm("rms_norm_quantize", x, y, x.width, (w.weight,), eps)

    def _rms_norm(self, x: Buffer, y: Buffer, w: Linear, eps: float) -> Lowered:
        return self._norm("rms_norm", x, y, w.weight.columns, (w.weight,), eps)

    def _layer_norm(self, x: Buffer, y: Buffer, w: Linear, eps: float) -> Lowered:
        return self._norm("layer_norm", x, y, x.width, (w.weight, w.bias), eps)

    def _norm(
        self,
        name: str,
        x: Buffer,
        y: Buffer,
        width: int,
        vectors: tuple[Weight | None, ...],
        eps: float,
    ) -> Lowered:
        """A thread block a stretch of `width`, of as many threads in every step."""
        placed = [self._placing.floats(vector) for vector in vectors]
        threads = min(NORM_THREADS, _up(width, WARP) * WARP)

        def launches(at: At) -> Iterator[Launch]:
            addresses = [self._placing.address(one) for one in placed]
            operands = (at[x], at[y], *addresses, width, float(eps))
            grid = (at.rows(x) * (x.width // width), 1, 1)
            yield Launch(name, grid, threads, operands, WARP_BYTES)

        return Lowered(launches, (name,))

    def _angles(self, table: Buffer, rope: Rope) -> Lowered:
        frequencies, pairs = self._placing.numbers(rope.frequencies), len(rope.frequencies)

        def launches(at: At) -> Iterator[Launch]:
            tokens = at.counts.tokens
            where = (at[table], self._placing.address(frequencies), at.step.positions)
            operands = (*where, pairs, tokens, float(rope.magnitude))
            yield Launch("angles", (_up(tokens * pairs, THREADS), 1, 1), THREADS, operands)

        return Lowered(launches, ("angles",))

    def _rope(self, x: Buffer, table: Buffer, y: Buffer, rope: Rope) -> Lowered:
        pairs, width = len(rope.frequencies), rope.head_width
        heads = x.width // width

        def launches(at: At) -> Iterator[Launch]:
            tokens = at.counts.tokens
            shape = (pairs, width, heads, int(rope.interleaved), tokens)
            grid = (_up(tokens * heads * (width - pairs), THREADS), 1, 1)
            yield Launch("rope", grid, THREADS, (at[x], at[y], at[table], *shape))

        return Lowered(launches, ("rope",))

    def _temperature(self, x: Buffer, y: Buffer, scale: float, period: int) -> Lowered:
        def launches(at: At) -> Iterator[Launch]:
            count = at.rows(x) * x.width
            operands = (at[x], at[y], at.step.positions, x.width, count, float(scale), period)
            yield Launch("temperature", (_up(count, THREADS), 1, 1), THREADS, operands)

        return Lowered(launches, ("temperature",))

    def _enter_heads(self, q: Buffer, k: Buffer, v: Buffer, *rest: Any) -> Lowered:
        *table, out, heads, q_norm, k_norm, eps, rope, q_turned = rest
        norms = [self._placing.floats(norm.weight if norm else None) for norm in (q_norm, k_norm)]

        def launches(at: At) -> Iterator[Launch]:
            rows = attending.Rows(at[q], at[k], at[v], at[out])
            q_weight, k_weight = map(self._placing.address, norms)
            wanted = attending.Norms(q_weight, k_weight, float(eps))
            turn = None
            if rope:
                pairs, turned = len(rope.frequencies), bool(q_turned)
                turn = attending.Rotation(at[table[0]], pairs, rope.interleaved, turned)
            tokens, step = at.counts.tokens, _places(at, heads)
            yield attending.enter(heads, self._layout, tokens, step, rows, wanted, turn)

        return Lowered(launches, (f"enter_heads_{self._layout.k}_{self._layout.v}",))

    def _attention(self, q: Buffer, y: Buffer, heads: Heads, sinks: Weight | None) -> Lowered:
        return self._attend(q, y, None, heads, sinks)

    def _attention_quantize(
        self, q: Buffer, y: Buffer, quantized: Buffer, heads: Heads, sinks: Weight | None
    ) -> Lowered:
        return self._attend(q, y, quantized, heads, sinks)

    def _attend(
        self, q: Buffer, y: Buffer, quantized: Buffer | None, heads: Heads, sinks: Weight | None
    ) -> Lowered:
        placed = self._placing.floats(sinks)

        def launches(at: At) -> Iterator[Launch]:
            tokens, blocks = at.counts.tokens, at.counts.blocks
            own = self._placing.address(placed)
            packed = at[quantized] if quantized else 0
            rows = attending.Results(at[q], at[y], at.scratch, own, packed)
            place = _places(at, heads)
            yield from attending.attend(heads, self._layout, tokens, blocks, place, rows)
            if quantized and not attending.splits(heads, tokens, blocks):
                yield _quantize(at, y, quantized)

        def scratch(counts: Counts) -> int:
            return attending.scratch_bytes(heads, counts.tokens, counts.blocks)

        kernels = attending.kernels_of(heads, self._layout)
        return Lowered(launches, (*kernels, *(["quantize"] if quantized else [])), scratch)

    def _add(self, x: Buffer, y: Buffer, z: Buffer) -> Lowered:
        return self._map("add", (x, y), z)

    def _scale(self, x: Buffer, y: Buffer, factor: float) -> Lowered:
        return self._map("scale", (x,), y, float(factor))

    def _softcap(self, x: Buffer, y: Buffer, cap: float) -> Lowered:
        return self._map("softcap", (x,), y, float(cap))

    def _activate(self, x: Buffer, y: Buffer, activation: str) -> Lowered:
        return self._map(f"activate_{activation}", (x,), y)

    def _gate(self, gate: Buffer, up: Buffer, y: Buffer, activation: str) -> Lowered:
        return self._map(f"gate_{activation}", (gate, up), y)

    def _map(self, name: str, sources: tuple[Buffer, ...], y: Buffer, *numbers: float) -> Lowered:
        def launches(at: At) -> Iterator[Launch]:
            count = at.rows(y) * y.width
            operands = (*(at[source] for source in sources), at[y], count, *numbers)
            yield Launch(name, (_up(count, THREADS), 1, 1), THREADS, operands)

        return Lowered(launches, (name,))

    def _route(self, logits: Buffer, ids: Buffer, weights: Buffer, routing: Routing) -> Lowered:
        normalize = int(routing.normalize and routing.gating != "softmax_of_chosen")
        choice = (routing.total, routing.used, GATINGS[routing.gating], normalize)

        def launches(at: At) -> Iterator[Launch]:
            operands = (at[logits], at[ids], at[weights], *choice, float(routing.scale))
            yield Launch("route", (at.counts.tokens, 1, 1), WARP, operands)

        return Lowered(launches, ("route",))

    def _group(self, ids: Buffer, order: Buffer, starts: Buffer, routing: Routing) -> Lowered:
        def launches(at: At) -> Iterator[Launch]:
            rows = at.counts.tokens * routing.used
            operands = (at[ids], at[order], at[starts], routing.total, rows)
            yield Launch("group", (routing.total, 1, 1), WARP, operands)

        return Lowered(launches, ("group",))

    def _expert_sum(self, y: Buffer, weights: Buffer, out: Buffer) -> Lowered:
        def launches(at: At) -> Iterator[Launch]:
            count = at.rows(out) * out.width
            operands = (at[y], at[weights], at[out], out.width, weights.width, count)
            yield Launch("expert_sum", (_up(count, THREADS), 1, 1), THREADS, operands)

        return Lowered(launches, ("expert_sum",))

    def _select_outputs(self, x: Buffer, y: Buffer) -> Lowered:
        def launches(at: At) -> Iterator[Launch]:
            grid = (_up(x.width, THREADS), at.counts.outputs, 1)
            yield Launch("select_outputs", grid, THREADS, (at[x], at[y], at.step.outputs, x.width))

        return Lowered(launches, ("select_outputs",))


def _places(at: At, heads: Heads) -> attending.StepPlaces:
    shape = attending.tiles_of(heads)
    step, count = at.step, at.counts.tiles(shape)
    return attending.StepPlaces(step.tables, step.positions, step.tiles(shape), count)


def _quantize(at: At, x: Buffer, y: Buffer) -> Launch:
    grid = (_up(x.width, THREADS), at.rows(x), 1)
    return Launch("quantize", grid, THREADS, (at[x], at[y], x.width))


def _matrix_at(placed: Placed, address: int, bias: int, factor: int, weight: Weight) -> Matrix:
    sizes = placed.panel_bytes, placed.matrix_bytes, placed.blocks, weight.columns, weight.rows
    return Matrix(placed.kind, address, bias, factor, *sizes, weight.experts)


def _up(number: int, divisor: int) -> int:
    return -(-number // divisor)
