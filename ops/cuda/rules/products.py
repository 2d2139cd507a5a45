"""Launches of embeddings, quantization and products."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from ops.cuda.device.device import Launch
from ops.cuda.kernels.formats.weights import PANEL_ROWS
from ops.cuda.kernels.products.epilogue import GATES, PLAIN
from ops.cuda.lowering.lower import (
    Lowered,
    Lowering,
    Rules,
    StepAddresses,
    matrix_at,
    quantize_launch,
)
from ops.cuda.lowering.products import NO_MATRIX, ExpertRows, JoinedRows, Product, kernels_of
from ops.operations import products as recorded
from ops.operations.base import Buffer
from ops.operations.elementwise import (
    Quantize,
)
from ops.operations.products import Embed, ExpertProduct, JoinedProducts

EMBED_THREADS = 128


def _embed(low: Lowering, op: Embed) -> Lowered:
    placed = low.placing.matrix(op.table)
    name = f"embed_{placed.kind}"

    def launches(step: StepAddresses) -> Iterator[Launch]:
        wanted = {"tokens": step.record.ids, "positions": step.record.positions}[op.index]
        address, target = low.placing.address(placed), step[op.y]
        operands: tuple[int, ...] = (address, placed.panel_bytes, wanted, target, placed.blocks)
        if placed.kind == "F32":
            operands = (address, wanted, target, op.table.columns)
        yield Launch(name, (step.rows(op.y), 1, 1), EMBED_THREADS, operands)

    return Lowered(launches, (name,))


def _joined_products(low: Lowering, op: JoinedProducts) -> Lowered:
    whole = low.placing.joined([w.weight for w in op.ws])
    biases = [w.bias for w in op.ws if w.bias]
    bias = low.placing.joined_floats(biases) if biases else None

    def launches(step: StepAddresses) -> Iterator[Launch]:
        address, start, row = low.placing.address(whole), low.placing.address(bias), 0
        matrices = []
        for w in op.ws:
            place = address + row // PANEL_ROWS * whole.panel_bytes
            own = start + 4 * row if bias else 0
            matrices.append(matrix_at(whole, place, own, 0, w.weight))
            row += w.weight.rows
        pairs = zip(op.ys, op.ws, strict=True)
        count = step.rows(op.ys[0])
        parts = tuple(JoinedRows(step[y], w.weight.rows) for y, w in pairs)
        joined = replace(matrices[0], rows=row)
        product = Product(joined, NO_MATRIX, step[op.x], step[op.ys[0]], count, parts=parts)
        if product.one_launch:
            yield from product.launches()
            return
        for matrix, part in zip(matrices, parts, strict=True):
            yield from Product(matrix, NO_MATRIX, step[op.x], part.y, count).launches()

    return Lowered(launches, tuple(kernels_of(whole.kind, gated=False)))


def _product(low: Lowering, op: recorded.Product) -> Lowered:
    def adapted(step: StepAddresses, product: Product) -> Product:
        added = step[op.added] if op.added else 0
        return replace(product, added=added, quantized=step[op.quantized] if op.quantized else 0)

    return _any_product(low, op, adapted, op.quantized)


def _expert_product(low: Lowering, op: ExpertProduct) -> Lowered:
    assert op.order is not None and op.starts is not None
    ids, order, starts = op.ids, op.order, op.starts

    def adapted(step: StepAddresses, product: Product) -> Product:
        rows_per_x = op.y.multiple // op.x.multiple
        chosen = ExpertRows(step[ids], step[order], step[starts], step.counts.tokens, rows_per_x)
        return replace(product, chosen=chosen)

    return _any_product(low, op, adapted, None)


def _any_product(
    low: Lowering,
    op: recorded.Product | ExpertProduct,
    adapted: Callable[[StepAddresses, Product], Product],
    quantized: Buffer | None,
) -> Lowered:
    first, second = low.matrix(op.w), low.matrix(op.up) if op.up else None
    gate = GATES[op.activation] if op.activation else PLAIN

    def launches(step: StepAddresses) -> Iterator[Launch]:
        matrices = first(), second() if second else NO_MATRIX
        plain = Product(*matrices, step[op.x], step[op.y], step.rows(op.y), gate)
        product = adapted(step, plain)
        yield from product.launches()
        if quantized and not product.one_launch:
            yield quantize_launch(step, op.y, quantized)

    kind = low.placing.matrix(op.w.weight).kind
    kernels = kernels_of(kind, gated=op.up is not None)
    return Lowered(launches, (*kernels, *(["quantize"] if quantized else [])))


def _quantize(low: Lowering, op: Quantize) -> Lowered:
    return Lowered(lambda step: [quantize_launch(step, op.x, op.y)], ("quantize",))


RULES: Rules = {
    Embed: _embed,
    ExpertProduct: _expert_product,
    JoinedProducts: _joined_products,
    recorded.Product: _product,
    Quantize: _quantize,
}
