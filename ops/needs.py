"""Bytes that a program takes where it runs: of each layer, and of what stands around the layers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ops.interface import BLOCK, Weight
from ops.operations.base import Operation, PositionBytes, Use
from ops.program import Program


@dataclass(frozen=True, slots=True)
class Needs:
    """A weight that is used twice counts once. `layers` and `positions` are of each layer in turn.

    `head` is what stands behind the layers, `embedding` what stands before them and is not part of
    the head; `buffers` are activations and logits of the largest step. `process` is what the
    program's process takes besides, wherever the layers are.
    """

    layers: tuple[int, ...]  # weights
    positions: tuple[int, ...]  # K and V of one position
    head: int
    embedding: int
    buffers: int
    process: int = 0

    def weights(self, count: int) -> int:
        """Of the last `count` layers and what goes with them."""
        if not count:
            return 0
        whole = self.embedding if count == len(self.layers) else 0
        return sum(self.layers[-count:]) + self.head + whole

    def cache(self, count: int, context: int) -> int:
        """With the whole context in use: it grows in blocks."""
        return -(-context // BLOCK) * self.block(count)

    def total(self, count: int, context: int) -> int:
        if not count:
            return 0
        return self.weights(count) + self.cache(count, context) + self.buffers

    def block(self, count: int) -> int:
        """A block of the cache of the last `count` layers."""
        return BLOCK * sum(self.positions[-count:]) if count else 0


def needs_of(
    program: Program, layout: PositionBytes, buffers: int, size: Callable[[Use], int]
) -> Needs:
    """`size` gives the bytes of a weight in the place where it is used."""
    counted = set[tuple[int, ...]]()

    def total(operations: list[Operation]) -> int:
        return sum(size(use) for use in _fresh(operations, counted))

    numbers = [n for n, op in enumerate(program.operations) if op.layer is not None]
    first, last = (numbers[0], numbers[-1]) if numbers else (0, -1)
    head = total(list(program.operations[last + 1 :]))
    embedding = total(list(program.operations[:first]))
    kept = {page.layer for page in program.pages}
    layers = range(program.layers)
    return Needs(
        layers=tuple(total([op for op in program.operations if op.layer == n]) for n in layers),
        positions=tuple(layout.position_bytes(n) if n in kept else 0 for n in layers),
        head=head,
        embedding=embedding,
        buffers=buffers,
    )


def _fresh(operations: list[Operation], counted: set[tuple[int, ...]]) -> Iterator[Use]:
    """Uses of weights that were not counted before."""
    for operation in operations:
        for use in operation.uses():
            key = place_of(use.weight)
            if key not in counted:
                counted.add(key)
                yield use


def place_of(weight: Weight) -> tuple[int, ...]:
    """Where a weight's bytes lie: the same for two uses of it."""
    return weight.data.ctypes.data, *weight.data.shape
