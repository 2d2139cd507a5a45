"""Fewer launches for the card: operators that one launch can do together, where few rows enter.

`linears`: products of the same input (of q, k and v, for instance) as one matrix. What ends in
`_quantize`: products with a gate, and attention, that leave quantized activations; they have two
outputs, since with many rows the plain ones are written first.
"""

from collections import Counter
from collections.abc import Sequence

from ops.cuda.kernels.weights import PANEL_ROWS, PANELS
from ops.cuda.placing import kind_of
from ops.interface import Heads, Linear
from ops.program import Buffer, Operation

MOST_JOINED = 3
QUANTIZING = {"gated_linear", "attention"}


def merge(operations: Sequence[Operation]) -> list[Operation]:
    """The same results, from fewer launches."""
    return _quantizing(_joined(list(operations)))


def _joined(operations: list[Operation]) -> list[Operation]:
    """Products that read the same take the place of the first of them: they need nothing else."""
    merged, gone = [], set[Operation]()
    for n, op in enumerate(operations):
        if op in gone:
            continue
        group = [op, *(other for other in operations[n + 1 :] if _alike(op, other))]
        if not _joinable(op) or len(group) == 1:
            merged.append(op)
            continue
        group = group[:MOST_JOINED]
        gone |= set(group)
        outputs = tuple(one.outputs[0] for one in group)
        merged.append(Operation("linears", op.inputs, outputs, tuple(map(_linear, group))))
    return merged


def _joinable(op: Operation) -> bool:
    """A plain product whose rows fill panels; `scale` and a sum are not for joined ones."""
    if op.name != "linear" or len(op.inputs) > 1:
        return False
    w = _linear(op)
    return kind_of(w.weight) != "F32" and w.scale is None and w.weight.rows % PANEL_ROWS == 0


def _alike(op: Operation, other: Operation) -> bool:
    if not (_joinable(op) and _joinable(other)) or op.inputs != other.inputs:
        return False
    one, two = _linear(op), _linear(other)
    same = one.weight.format is two.weight.format and one.weight.columns == two.weight.columns
    return same and (one.bias is None) == (two.bias is None)


def _quantizing(operations: list[Operation]) -> list[Operation]:
    """What only a quantization reads leaves quantized activations."""
    readers = Counter(buffer for op in operations for buffer in op.inputs)
    makers = {buffer: op for op in operations for buffer in op.outputs}
    merged = {op: op for op in operations}
    for op in operations:
        maker = makers.get(op.inputs[0]) if op.name == "quantize" else None
        if maker and readers[op.inputs[0]] == 1 and _can_quantize(maker, op.inputs[0]):
            outputs = (*maker.outputs, *op.outputs)
            name = f"{maker.name}_quantize"
            merged[maker] = Operation(name, maker.inputs, outputs, maker.parameters)
            del merged[op]
    return list(merged.values())


def _can_quantize(maker: Operation, made: Buffer) -> bool:
    """Attention: a head's warps must have whole blocks."""
    if maker.name not in QUANTIZING or made.width % PANEL_ROWS:
        return False
    if maker.name == "attention":
        heads = maker.parameters[0]
        assert isinstance(heads, Heads)
        return heads.head_width % PANEL_ROWS == 0
    return kind_of(_linear(maker).weight) in PANELS.keys() | {"F16"}


def _linear(op: Operation) -> Linear:
    w = op.parameters[0]
    assert isinstance(w, Linear)
    return w
