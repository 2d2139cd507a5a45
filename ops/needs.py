"""The memory that a program needs where it runs: per layer, and before and after the layers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

from ops.interface import BLOCK, Weight
from ops.operations.base import Operation, Pages, PositionBytes, Use
from ops.program import Program


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes of weights, cache and buffers. A weight that is used twice counts once.

    `head`: weights after the layers; `embedding`: weights before them that the head does not share;
    `buffers`: activations and logits of the largest step; `process`: other memory of the program's
    process, wherever the layers are.
    """

    layers: tuple[int, ...]  # weights of each layer
    positions: tuple[int, ...]  # K and V of one position in each layer
    head: int
    embedding: int
    buffers: int
    process: int = 0
    state: int = 0  # one copy of a sequence's recurrent state

    def __add__(self, other: "Needs") -> "Needs":
        """Of two programs that run beside each other and share no weights."""

        def layered(some: tuple[int, ...], others: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(map(sum, zip_longest(some, others, fillvalue=0)))

        return Needs(
            layers=layered(self.layers, other.layers),
            positions=layered(self.positions, other.positions),
            head=self.head + other.head,
            embedding=self.embedding + other.embedding,
            buffers=self.buffers + other.buffers,
            process=self.process + other.process,
            state=self.state + other.state,
        )

    def weights(self, count: int) -> int:
        """Weights of the last `count` layers, the head, and for all layers also the embedding."""
        if not count:
            return 0
        whole = self.embedding if count == len(self.layers) else 0
        return sum(self.layers[-count:]) + self.head + whole

    def cache(self, count: int, context: int) -> int:
        """The KV cache of the last `count` layers at a full context, in whole blocks."""
        return -(-context // BLOCK) * self.block(count)

    def total(self, count: int, context: int) -> int:
        if not count:
            return 0
        return self.weights(count) + self.cache(count, context) + self.buffers

    def block(self, count: int) -> int:
        """One block of the KV cache of the last `count` layers."""
        return BLOCK * sum(self.positions[-count:]) if count else 0


def needs_of(
    program: Program, layout: PositionBytes, buffers: int, size: Callable[[Use], int]
) -> Needs:
    """The needs of a program; `size` gives the bytes of a weight as the backend stores it."""
    counted = set[tuple[int, ...]]()

    def total(operations: list[Operation]) -> int:
        return sum(size(use) for use in _fresh(operations, counted))

    numbers = [n for n, op in enumerate(program.operations) if op.layer is not None]
    first, last = (numbers[0], numbers[-1]) if numbers else (0, -1)
    head = total(list(program.operations[last + 1 :]))
    embedding = total(list(program.operations[:first]))
    layers = range(program.layers)
    positions = [0] * max(1, len(layers))  # what is kept before the layers counts for the first
    writers = {  # what layers share counts for the first of them
        op.state.layer: op.layer or 0
        for op in reversed(program.operations)
        if isinstance(op.state, Pages)
    }
    for page in program.pages:
        positions[writers.get(page.layer, 0)] += layout.position_bytes(page.layer)
    return Needs(
        layers=tuple(total([op for op in program.operations if op.layer == n]) for n in layers),
        positions=tuple(positions[: len(layers)]),
        head=head,
        embedding=embedding,
        buffers=buffers,
    )


def _fresh(operations: list[Operation], counted: set[tuple[int, ...]]) -> Iterator[Use]:
    """The uses of weights that are not counted yet; adds them to `counted`."""
    for operation in operations:
        for use in operation.uses():
            key = place_of(use.weight)
            if key not in counted:
                counted.add(key)
                yield use


def place_of(weight: Weight) -> tuple[int, ...]:
    """Identifies a weight by the address and shape of its bytes."""
    return weight.data.ctypes.data, *weight.data.shape
