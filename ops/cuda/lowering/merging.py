"""Fewer launches: merges operators that a single launch can do for few rows.

Products with the same input (q, k and v, for instance) become one matrix. Gated products and
attention write quantized activations where a quantization is the only reader; for many rows they
write float32 first.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeGuard

from ops.cuda.kernels.formats.weights import PANEL_ROWS, PANELS
from ops.cuda.lowering.placing import kind_of
from ops.fusion import makers_of, readers_of
from ops.operations.attention import Attention
from ops.operations.base import Buffer, Operation
from ops.operations.elementwise import Quantize
from ops.operations.products import JoinedProducts, Product

MOST_JOINED = 3


def merge(operations: Sequence[Operation], output: Buffer | None = None) -> list[Operation]:
    """The same results, from fewer launches."""
    return _quantizing(_joined(list(operations)), output)


def _joined(operations: list[Operation]) -> list[Operation]:
    """Joins products of one input at the place of the first: they depend on nothing else."""
    merged, gone = list[Operation](), set[Operation]()
    for n, op in enumerate(operations):
        if op in gone:
            continue
        group = [op, *(other for other in operations[n + 1 :] if _alike(op, other))]
        products = [one for one in group[:MOST_JOINED] if _is_joinable(one)]
        if not _is_joinable(op) or len(products) == 1:
            merged.append(op)
            continue
        gone |= set(products)
        outputs = tuple(one.y for one in products)
        weights = tuple(one.w for one in products)
        merged.append(JoinedProducts(op.x, outputs, weights, layer=op.layer))
    return merged


def _is_joinable(op: Operation) -> TypeGuard[Product]:
    """A plain product whose rows fill panels; joined ones have neither a factor nor a sum."""
    if not isinstance(op, Product) or op.up is not None or op.added is not None:
        return False
    weight = op.w.weight
    fills = kind_of(weight) != "F32" and weight.rows % PANEL_ROWS == 0
    return fills and op.w.scale is None


def _alike(op: Operation, other: Operation) -> bool:
    if not (_is_joinable(op) and _is_joinable(other)) or op.x is not other.x:
        return False
    one, two = op.w, other.w
    same = one.weight.format is two.weight.format and one.weight.columns == two.weight.columns
    return same and (one.bias is None) == (two.bias is None)


def _quantizing(operations: list[Operation], output: Buffer | None) -> list[Operation]:
    """Lets operators quantize whose only reader is a quantization."""
    readers, makers = readers_of(operations, output), makers_of(operations)
    merged = {op: op for op in operations}
    for op in operations:
        if not isinstance(op, Quantize) or readers[op.x] > 1:
            continue
        maker = makers.get(op.x)
        if isinstance(maker, Product | Attention) and _can_quantize(maker):
            merged[maker] = replace(maker, quantized=op.y)
            del merged[op]
    return list(merged.values())


def _can_quantize(maker: Product | Attention) -> bool:
    """A head's width must be whole blocks of 32."""
    if maker.y.width % PANEL_ROWS:
        return False
    if isinstance(maker, Attention):
        return maker.heads.head_width % PANEL_ROWS == 0
    return maker.up is not None and kind_of(maker.w.weight) in PANELS.keys() | {"F16"}
