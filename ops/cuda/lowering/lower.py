"""From a fused recording to launches: which kernels an operator takes, and how they are started."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ops import operations
from ops.cuda.cache import CardStateLayout
from ops.cuda.device.device import Launch
from ops.cuda.lowering import attending
from ops.cuda.lowering.placing import Placed, Placing
from ops.cuda.lowering.products import (
    GATES,
    NOTHING,
    PANEL_ROWS,
    Chosen,
    Matrix,
    Part,
    Product,
    kernels_of,
)
from ops.cuda.lowering.records import Counts, Places
from ops.interface import Heads, Linear, Weight
from ops.operations import (
    Activate,
    Add,
    Angles,
    Attention,
    Buffer,
    Embed,
    ExpertProduct,
    ExpertSum,
    Gate,
    Group,
    JoinedProducts,
    LayerNorm,
    Multiply,
    NormRopeStore,
    Operation,
    Quantize,
    RmsNorm,
    RmsNormQuantize,
    Rotate,
    Route,
    Scale,
    SelectOutputs,
    Softcap,
    Temperature,
)

GATINGS = {"softmax": 0, "sigmoid": 1, "softmax_of_chosen": 2}
THREADS, NORM_THREADS, EMBED_THREADS, WARP = 256, 512, 128, 32
WARP_BYTES = 4 * NORM_THREADS // WARP  # of shared memory: a float a warp


@dataclass(frozen=True, slots=True)
class StepAddresses:
    """Where things are in a step of certain sizes."""

    counts: Counts
    step: Places
    buffers: Mapping[Buffer, int]
    scratch: int

    def rows(self, buffer: Buffer) -> int:
        return self.counts.rows(buffer)

    def __getitem__(self, buffer: Buffer) -> int:
        return self.buffers[buffer]


Launches = Callable[[StepAddresses], Iterable[Launch]]


@dataclass(frozen=True, slots=True)
class Lowered:
    """An operator: its launches in a step, and the kernels that it may need in any."""

    launches: Launches
    kernels: tuple[str, ...]
    scratch: Callable[[Counts], int] = lambda counts: 0  # bytes


class Lowering:
    """Places the weights that operators point to; their addresses are known when they are there."""

    def __init__(self, placing: Placing, layout: CardStateLayout) -> None:
        self.placing, self.layout = placing, layout

    def lower(self, operation: Operation) -> Lowered:
        return RULES[type(operation)](self, operation)

    def matrix(self, w: Linear) -> Callable[[], Matrix]:
        placed = self.placing.matrix(w.weight)
        bias, factor = self.placing.floats(w.bias), self.placing.floats(w.scale)
        address = self.placing.address
        return lambda: _matrix_at(placed, address(placed), address(bias), address(factor), w.weight)


def _embed(low: Lowering, op: Embed) -> Lowered:
    placed = low.placing.matrix(op.table)
    name = f"embed_{placed.kind}"

    def launches(at: StepAddresses) -> Iterator[Launch]:
        wanted = {"tokens": at.step.ids, "positions": at.step.positions}[op.index]
        address, target = low.placing.address(placed), at[op.y]
        operands: tuple[int, ...] = (address, placed.panel_bytes, wanted, target, placed.blocks)
        if placed.kind == "F32":
            operands = (address, wanted, target, op.table.columns)
        yield Launch(name, (at.rows(op.y), 1, 1), EMBED_THREADS, operands)

    return Lowered(launches, (name,))


def _joined_products(low: Lowering, op: JoinedProducts) -> Lowered:
    whole = low.placing.joined([w.weight for w in op.ws])
    biases = [w.bias for w in op.ws if w.bias]
    bias = low.placing.joined_floats(biases) if biases else None

    def launches(at: StepAddresses) -> Iterator[Launch]:
        address, start, row = low.placing.address(whole), low.placing.address(bias), 0
        matrices = []
        for w in op.ws:
            place = address + row // PANEL_ROWS * whole.panel_bytes
            own = start + 4 * row if bias else 0
            matrices.append(_matrix_at(whole, place, own, 0, w.weight))
            row += w.weight.rows
        pairs = zip(op.ys, op.ws, strict=True)
        count, parts = at.rows(op.ys[0]), tuple(Part(at[y], w.weight.rows) for y, w in pairs)
        joined = replace(matrices[0], rows=row)
        product = Product(joined, NOTHING, at[op.x], at[op.ys[0]], count, parts=parts)
        if product.at_once:
            yield from product.launches()
            return
        for matrix, part in zip(matrices, parts, strict=True):
            yield from Product(matrix, NOTHING, at[op.x], part.y, count).launches()

    return Lowered(launches, tuple(kernels_of(whole.kind, gated=False)))


def _product(low: Lowering, op: operations.Product) -> Lowered:
    def adapted(at: StepAddresses, product: Product) -> Product:
        added = at[op.added] if op.added else 0
        return replace(product, added=added, quantized=at[op.quantized] if op.quantized else 0)

    return _any_product(low, op, adapted, op.quantized)


def _expert_product(low: Lowering, op: ExpertProduct) -> Lowered:
    assert op.order is not None and op.starts is not None
    ids, order, starts = op.ids, op.order, op.starts

    def adapted(at: StepAddresses, product: Product) -> Product:
        rows_per_x = op.y.multiple // op.x.multiple
        chosen = Chosen(at[ids], at[order], at[starts], at.counts.tokens, rows_per_x)
        return replace(product, chosen=chosen)

    return _any_product(low, op, adapted, None)


def _any_product(
    low: Lowering,
    op: operations.Product | ExpertProduct,
    adapted: Callable[[StepAddresses, Product], Product],
    quantized: Buffer | None,
) -> Lowered:
    first, second = low.matrix(op.w), low.matrix(op.up) if op.up else None
    gate = GATES[op.activation] if op.activation else 0

    def launches(at: StepAddresses) -> Iterator[Launch]:
        matrices = first(), second() if second else NOTHING
        plain = Product(*matrices, at[op.x], at[op.y], at.rows(op.y), gate)
        product = adapted(at, plain)
        yield from product.launches()
        if quantized and not product.at_once:
            yield _quantize_launch(at, op.y, quantized)

    kind = low.placing.matrix(op.w.weight).kind
    kernels = kernels_of(kind, gated=op.up is not None)
    return Lowered(launches, (*kernels, *(["quantize"] if quantized else [])))


def _quantize(low: Lowering, op: Quantize) -> Lowered:
    return Lowered(lambda at: [_quantize_launch(at, op.x, op.y)], ("quantize",))


def _rms_norm_quantize(low: Lowering, op: RmsNormQuantize) -> Lowered:
    return _norm(low, "rms_norm_quantize", op, op.x.width, (op.w.weight,))


def _rms_norm(low: Lowering, op: RmsNorm) -> Lowered:
    return _norm(low, "rms_norm", op, op.w.weight.columns, (op.w.weight,))


def _layer_norm(low: Lowering, op: LayerNorm) -> Lowered:
    return _norm(low, "layer_norm", op, op.x.width, (op.w.weight, op.w.bias))


def _norm(
    low: Lowering,
    name: str,
    op: RmsNorm | RmsNormQuantize | LayerNorm,
    width: int,
    vectors: tuple[Weight | None, ...],
) -> Lowered:
    """One thread block per stretch of `width` columns; its size does not depend on the step."""
    placed = [low.placing.floats(vector) for vector in vectors]
    threads = min(NORM_THREADS, _up(width, WARP) * WARP)

    def launches(at: StepAddresses) -> Iterator[Launch]:
        addresses = [low.placing.address(one) for one in placed]
        operands = (at[op.x], at[op.y], *addresses, width, float(op.eps))
        grid = (at.rows(op.x) * (op.x.width // width), 1, 1)
        yield Launch(name, grid, threads, operands, WARP_BYTES)

    return Lowered(launches, (name,))


def _angles(low: Lowering, op: Angles) -> Lowered:
    rope = op.rope
    frequencies, pairs = low.placing.numbers(rope.frequencies), len(rope.frequencies)

    def launches(at: StepAddresses) -> Iterator[Launch]:
        tokens = at.counts.tokens
        where = (at[op.y], low.placing.address(frequencies), at.step.positions)
        operands = (*where, pairs, tokens, float(rope.magnitude))
        yield Launch("angles", (_up(tokens * pairs, THREADS), 1, 1), THREADS, operands)

    return Lowered(launches, ("angles",))


def _rotate(low: Lowering, op: Rotate) -> Lowered:
    assert op.angles is not None
    table, pairs, width = op.angles, len(op.rope.frequencies), op.rope.head_width
    heads = op.x.width // width

    def launches(at: StepAddresses) -> Iterator[Launch]:
        tokens = at.counts.tokens
        shape = (pairs, width, heads, int(op.rope.interleaved), tokens)
        grid = (_up(tokens * heads * (width - pairs), THREADS), 1, 1)
        yield Launch("rope", grid, THREADS, (at[op.x], at[op.y], at[table], *shape))

    return Lowered(launches, ("rope",))


def _temperature(low: Lowering, op: Temperature) -> Lowered:
    def launches(at: StepAddresses) -> Iterator[Launch]:
        count = at.rows(op.x) * op.x.width
        where = (at[op.x], at[op.y], at.step.positions)
        operands = (*where, op.x.width, count, float(op.scale), op.period)
        yield Launch("temperature", (_up(count, THREADS), 1, 1), THREADS, operands)

    return Lowered(launches, ("temperature",))


def _norm_rope_store(low: Lowering, op: NormRopeStore) -> Lowered:
    vectors = (norm.weight if norm else None for norm in (op.q_norm, op.k_norm))
    norms = [low.placing.floats(vector) for vector in vectors]

    def launches(at: StepAddresses) -> Iterator[Launch]:
        rows = attending.Rows(at[op.q], at[op.k], at[op.v], at[op.y])
        q_weight, k_weight = map(low.placing.address, norms)
        wanted = attending.Norms(q_weight, k_weight, float(op.eps))
        turn = None
        if op.rope and op.angles:
            pairs, interleaved = len(op.rope.frequencies), op.rope.interleaved
            turn = attending.Rotation(at[op.angles], pairs, interleaved, op.rotates_q)
        tokens, step = at.counts.tokens, _places(at, op.heads)
        yield attending.enter(op.heads, low.layout, tokens, step, rows, wanted, turn)

    return Lowered(launches, (f"norm_rope_store_{low.layout.k}_{low.layout.v}",))


def _attention(low: Lowering, op: Attention) -> Lowered:
    placed, heads, quantized = low.placing.floats(op.sinks), op.heads, op.quantized

    def launches(at: StepAddresses) -> Iterator[Launch]:
        tokens, blocks = at.counts.tokens, at.counts.blocks
        own = low.placing.address(placed)
        packed = at[quantized] if quantized else 0
        rows = attending.Results(at[op.q], at[op.y], at.scratch, own, packed)
        place = _places(at, heads)
        yield from attending.attend(heads, low.layout, tokens, blocks, place, rows)
        if quantized and not attending.splits(heads, tokens, blocks):
            yield _quantize_launch(at, op.y, quantized)

    def scratch(counts: Counts) -> int:
        return attending.scratch_bytes(heads, counts.tokens, counts.blocks)

    kernels = attending.kernels_of(heads, low.layout)
    return Lowered(launches, (*kernels, *(["quantize"] if quantized else [])), scratch)


def _add(low: Lowering, op: Add) -> Lowered:
    return _map("add", (op.a, op.b), op.y)


def _multiply(low: Lowering, op: Multiply) -> Lowered:
    return _map("multiply", (op.a, op.b), op.y)


def _scale(low: Lowering, op: Scale) -> Lowered:
    return _map("scale", (op.x,), op.y, float(op.factor))


def _softcap(low: Lowering, op: Softcap) -> Lowered:
    return _map("softcap", (op.x,), op.y, float(op.cap))


def _activate(low: Lowering, op: Activate) -> Lowered:
    return _map(f"activate_{op.activation}", (op.x,), op.y)


def _gate(low: Lowering, op: Gate) -> Lowered:
    return _map(f"gate_{op.activation}", (op.gate, op.up), op.y)


def _map(name: str, sources: tuple[Buffer, ...], y: Buffer, *numbers: float) -> Lowered:
    """Element by element."""

    def launches(at: StepAddresses) -> Iterator[Launch]:
        count = at.rows(y) * y.width
        operands = (*(at[source] for source in sources), at[y], count, *numbers)
        yield Launch(name, (_up(count, THREADS), 1, 1), THREADS, operands)

    return Lowered(launches, (name,))


def _route(low: Lowering, op: Route) -> Lowered:
    routing = op.routing
    normalize = int(routing.normalize and routing.gating != "softmax_of_chosen")
    choice = (routing.total, routing.used, GATINGS[routing.gating], normalize)

    def launches(at: StepAddresses) -> Iterator[Launch]:
        operands = (at[op.logits], at[op.ids], at[op.weights], *choice, float(routing.scale))
        yield Launch("route", (at.counts.tokens, 1, 1), WARP, operands)

    return Lowered(launches, ("route",))


def _group(low: Lowering, op: Group) -> Lowered:
    def launches(at: StepAddresses) -> Iterator[Launch]:
        total, rows = op.routing.total, at.counts.tokens * op.routing.used
        operands = (at[op.ids], at[op.order], at[op.starts], total, rows)
        yield Launch("group", (total, 1, 1), WARP, operands)

    return Lowered(launches, ("group",))


def _expert_sum(low: Lowering, op: ExpertSum) -> Lowered:
    def launches(at: StepAddresses) -> Iterator[Launch]:
        count = at.rows(op.y) * op.y.width
        operands = (at[op.x], at[op.weights], at[op.y], op.y.width, op.weights.width, count)
        yield Launch("expert_sum", (_up(count, THREADS), 1, 1), THREADS, operands)

    return Lowered(launches, ("expert_sum",))


def _select_outputs(low: Lowering, op: SelectOutputs) -> Lowered:
    def launches(at: StepAddresses) -> Iterator[Launch]:
        width, grid = op.x.width, (_up(op.x.width, THREADS), at.counts.outputs, 1)
        operands = (at[op.x], at[op.y], at.step.outputs, width)
        yield Launch("select_outputs", grid, THREADS, operands)

    return Lowered(launches, ("select_outputs",))


RULES: dict[type[Operation], Callable[[Lowering, Any], Lowered]] = {
    Activate: _activate,
    Add: _add,
    Angles: _angles,
    Attention: _attention,
    Embed: _embed,
    ExpertProduct: _expert_product,
    ExpertSum: _expert_sum,
    Gate: _gate,
    Group: _group,
    JoinedProducts: _joined_products,
    LayerNorm: _layer_norm,
    Multiply: _multiply,
    NormRopeStore: _norm_rope_store,
    operations.Product: _product,
    Quantize: _quantize,
    RmsNorm: _rms_norm,
    RmsNormQuantize: _rms_norm_quantize,
    Rotate: _rotate,
    Route: _route,
    Scale: _scale,
    SelectOutputs: _select_outputs,
    Softcap: _softcap,
    Temperature: _temperature,
}
"""How each operator is launched. A `Store` is always part of a `NormRopeStore` here."""


def _places(at: StepAddresses, heads: Heads) -> attending.StepPlaces:
    shape = attending.tiles_of(heads)
    step, count = at.step, at.counts.tiles(shape)
    return attending.StepPlaces(step.tables, step.positions, step.tiles(shape), count)


def _quantize_launch(at: StepAddresses, x: Buffer, y: Buffer) -> Launch:
    grid = (_up(x.width, THREADS), at.rows(x), 1)
    return Launch("quantize", grid, THREADS, (at[x], at[y], x.width))


def _matrix_at(placed: Placed, address: int, bias: int, factor: int, weight: Weight) -> Matrix:
    sizes = placed.panel_bytes, placed.matrix_bytes, placed.blocks, weight.columns, weight.rows
    return Matrix(placed.kind, address, bias, factor, *sizes, weight.experts)


def _up(number: int, divisor: int) -> int:
    return -(-number // divisor)
