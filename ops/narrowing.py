"""Computes only wanted rows: the choice of rows moves up a program as far as it can.

Behind the keys and values of the last layer that keeps any, a token's row serves its own logits
alone. Of a prompt, most tokens' logits are not wanted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from ops.operations.attention import Attention, Rotate
from ops.operations.base import Buffer, Operation
from ops.operations.elementwise import (
    Activate,
    Add,
    Balance,
    Columns,
    Gate,
    GaussianTopK,
    Join,
    Mix,
    Multiply,
    Scale,
    ScaleBy,
    SelectOutputs,
    Softcap,
    Temperature,
)
from ops.operations.experts import ExpertSum, Route
from ops.operations.norms import LayerNorm, RmsNorm
from ops.operations.products import ExpertProduct, Product

ROW_BY_ROW = (
    *(Activate, Add, Attention, Balance, Columns, ExpertProduct, ExpertSum, Gate, GaussianTopK),
    *(Join, LayerNorm, Mix, Multiply, Product, RmsNorm, Rotate, Route, Scale, ScaleBy, Softcap),
    Temperature,
)
"""Operators whose results for a token depend on its own rows, and on what sequences keep."""


def narrow(operations: Sequence[Operation]) -> list[Operation]:
    """The same results; for backends whose kernels take rows that are wanted as they take tokens'.

    Each row is computed as among all rows, so the bytes are the same.
    """
    selections = [op for op in operations if isinstance(op, SelectOutputs)]
    narrowed = _narrowed(operations, selections[0]) if len(selections) == 1 else set()
    makers = {buffer: op for op in operations for buffer in op.outputs}
    read = [buffer for op in narrowed for buffer in op.inputs]
    border = {buffer for buffer in read if makers.get(buffer) not in narrowed}
    if not narrowed or any(each not in makers or each.multiple != 1 for each in border):
        return list(operations)
    [selection] = selections
    return _rewritten(operations, selection, narrowed, border)


def _narrowed(operations: Sequence[Operation], selection: SelectOutputs) -> set[Operation]:
    """The operators before the selection whose results only it and such operators read."""
    readers = dict[Buffer, set[Operation]]()
    for op in operations:
        for buffer in op.inputs:
            readers.setdefault(buffer, set()).add(op)
    narrowed: set[Operation] = {selection}
    for op in reversed(operations[: operations.index(selection)]):
        readers_of_all = [readers.get(buffer, set()) for buffer in op.outputs]
        if isinstance(op, ROW_BY_ROW) and all(r and r <= narrowed for r in readers_of_all):
            narrowed.add(op)
    return narrowed - {selection}


def _rewritten(
    operations: Sequence[Operation],
    selection: SelectOutputs,
    narrowed: set[Operation],
    border: set[Buffer],
) -> list[Operation]:
    """Rows are selected where they enter the narrowed operators instead of behind them."""
    rewritten, wanted = list[Operation](), {selection.x: selection.y}
    for op in operations:
        if op is selection:
            continue
        if op in narrowed:
            for buffer in op.outputs:
                wanted.setdefault(buffer, Buffer("outputs", buffer.multiple, buffer.width))
            rewritten.append(_with_buffers(op, wanted))
            continue
        rewritten.append(op)
        for buffer in border & set(op.outputs):
            wanted[buffer] = Buffer("outputs", 1, buffer.width)
            rewritten.append(SelectOutputs(buffer, wanted[buffer], layer=op.layer))
    return rewritten


def _with_buffers(operation: Operation, others: Mapping[Buffer, Buffer]) -> Operation:
    changed = dict[str, Any]()
    for each in fields(operation):
        if each.metadata.get("role") in ("read", "written"):
            value = getattr(operation, each.name)
            if isinstance(value, tuple):
                changed[each.name] = tuple(others[buffer] for buffer in value)
            elif value is not None:
                changed[each.name] = others[value]
    return replace(operation, **changed)
