"""Adds to a recording what tells which columns of its weights matter: Squares of products' inputs.

The kernels of the products stay as they are, and fusion sees one more reader of each input.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from ops.interface import Weight
from ops.operations.base import Buffer, Operation
from ops.operations.observing import Squares
from ops.operations.products import ExpertProduct, HeadProduct, Product
from ops.program import Output, Program

Products = Product | ExpertProduct | HeadProduct


def observed(program: Program, wanted: Callable[[Weight], bool]) -> Program:
    """The program up to the last product whose weight is wanted, with the squares of their inputs.

    It gives that product's input in place of logits. At least one weight has to be wanted.
    """
    operations = list(_with_squares(program.operations, wanted))
    last = max(n for n, op in enumerate(operations) if isinstance(op, Squares))
    squares = operations[last]
    assert isinstance(squares, Squares)
    kept = _needed(operations[: last + 1], squares.x)
    return replace(program, operations=kept, output=Output("hidden", squares.x), forward=None)


def _with_squares(
    operations: Sequence[Operation], wanted: Callable[[Weight], bool]
) -> Iterator[Operation]:
    """Before the first of the products that read an input in one way."""
    names = dict[tuple[Buffer, Buffer | None, int], list[str]]()
    for op in operations:
        if isinstance(op, Products) and wanted(op.w.weight):
            names.setdefault(_way(op), []).append(op.w.weight.name)
    for op in operations:
        found = names.pop(_way(op), None) if isinstance(op, Products) else None
        if found is not None and isinstance(op, Products):
            experts, columns = op.w.weight.experts, op.w.weight.columns
            sums = np.zeros((experts, columns), np.float32)
            ids = op.ids if isinstance(op, ExpertProduct) else None
            counts = np.zeros(experts, np.float32)
            yield Squares(op.x, tuple(found), sums, counts, ids, layer=op.layer)
        yield op


def _way(op: Products) -> tuple[Buffer, Buffer | None, int]:
    """What it reads, how its rows are chosen, and for how many matrices."""
    ids = op.ids if isinstance(op, ExpertProduct) else None
    return op.x, ids, op.w.weight.experts


def _needed(operations: Sequence[Operation], output: Buffer) -> tuple[Operation, ...]:
    """Those that the output, squares and what a sequence keeps depend on."""
    read, kept = {output}, list[Operation]()
    for op in reversed(operations):
        if isinstance(op, Squares) or op.state is not None or read.intersection(op.outputs):
            kept.append(op)
            read.update(op.inputs)
    return tuple(reversed(kept))
