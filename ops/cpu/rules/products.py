"""Calls of products, embeddings and quantization."""

from dataclasses import replace

from ops.cpu.formats import UNPACKED
from ops.cpu.layout import PANEL_ROWS, TOKENS
from ops.cpu.lower import (
    SCRATCH,
    Call,
    Lowering,
    Matrix,
    Operand,
    Rules,
    rows,
    scratch_bytes,
)
from ops.cpu.weights.packing import Packed
from ops.operations.elementwise import (
    Quantize,
    RoundToBf16,
)
from ops.operations.products import Embed, ExpertProduct, HeadProduct, HeadRows, Product
from quant.format import row_bytes


def _embed(low: Lowering, op: Embed) -> Call:
    table, kind = op.table, op.table.format
    operands = (low.keep(table.data), row_bytes(kind, table.columns), table.columns, op.y, TOKENS)
    if op.rows is not None:
        return Call(f"embed_rows_{kind.name}", (*operands, op.rows, op.rows.width))
    kernel = "embed" if op.index == "tokens" else "embed_positions"
    return Call(f"{kernel}_{kind.name}", operands)


NO_MATRIX: Matrix = (0, 0, 0)


def _product(low: Lowering, op: Product) -> Call:
    return _packed_product(low, op, "linear", added=op.added or 0)


def _expert_product(low: Lowering, op: ExpertProduct) -> Call:
    assert op.order is not None and op.starts is not None
    groups = (op.order, op.starts, op.w.weight.experts, op.y.multiple // op.x.multiple)
    return _packed_product(low, op, "expert_linear", groups=groups)


def _head_product(low: Lowering, op: HeadProduct) -> Call:
    """As products of experts: the rows of x and y are cut into one for each head."""
    assert op.order is not None and op.starts is not None
    return _packed_product(low, op, "expert_linear", groups=(op.order, op.starts, op.heads, 1))


def _head_rows(low: Lowering, op: HeadRows) -> Call:
    return Call("head_rows", (op.order, op.starts, op.heads, TOKENS))


def _packed_product(
    low: Lowering,
    op: Product | ExpertProduct | HeadProduct,
    name: str,
    added: Operand = 0,
    groups: tuple[Operand, ...] = (),
) -> Call:
    """The operands in the order of layout.py."""
    kind, matrix = low.matrix(op.w)
    kernel, second = f"{name}_{kind}", NO_MATRIX
    packed = matrix[0]
    assert isinstance(packed, Packed)
    heads = op.heads if isinstance(op, HeadProduct) else 1
    if not isinstance(op, HeadProduct):
        if op.up is not None:
            second = low.matrix(op.up)[1]
        elif isinstance(op, ExpertProduct) and op.merged:
            behind = op.y.width // PANEL_ROWS * packed.panel_bytes
            second = (replace(packed, behind=packed.behind + behind), *matrix[1:])
        if op.activation is not None:
            kernel = f"gated_{kernel}_{op.activation}"
    if kind in low.unpacked:
        kernel += UNPACKED
    sizes = (packed.matrix_bytes, packed.panel_bytes, op.w.weight.columns, op.y.width // heads)
    field, multiple = rows(op.y)
    ends = (op.x, 4 * op.x.width // heads, op.y, added, field, multiple * heads)
    scratch = scratch_bytes(op, low.limits, low.layout)
    operands = (*matrix, *second, *sizes, *ends, SCRATCH, scratch, *groups)
    return Call(kernel, operands)


def _quantize(low: Lowering, op: Quantize) -> Call:
    return Call("quantize", (op.x, op.y, op.x.width // 32, *rows(op.x)))


def _round_to_bf16(low: Lowering, op: RoundToBf16) -> Call:
    field, multiple = rows(op.x)
    stretches = multiple * (op.x.width // op.columns)
    return Call("round_to_bf16", (op.x, op.y, op.columns, field, stretches, op.terms))


RULES: Rules = {
    Embed: _embed,
    ExpertProduct: _expert_product,
    HeadProduct: _head_product,
    HeadRows: _head_rows,
    Product: _product,
    Quantize: _quantize,
    RoundToBf16: _round_to_bf16,
}
