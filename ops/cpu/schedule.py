"""Where threads must meet: an operator waits for the others only when it touches what they touch.

Operators between two barriers run side by side (the products of q, k and v, for instance). Memory
is used again by later buffers, so what counts is places, not buffers.
"""

from collections.abc import Mapping, Sequence

from ops.memory_plan import Limits, buffer_bytes
from ops.operations.base import Buffer, Operation

Stretch = tuple[int, int]  # first and last address of a piece of memory
STATE: Stretch = (-1, 0)  # stands for what sequences keep, which is found at run time


def barriers(
    operations: Sequence[Operation], places: Mapping[Buffer, int], limits: Limits
) -> list[bool]:
    """For each operation, whether all threads must be through the ones before it."""
    needed, read, written = [], list[Stretch](), list[Stretch]()
    for op in operations:
        reads = [_stretch(buffer, places, limits) for buffer in op.inputs]
        writes = [_stretch(buffer, places, limits) for buffer in op.outputs]
        reads += [STATE] * op.reads_state
        writes += [STATE] * (op.state is not None)
        wait = _meet(reads, written) or _meet(writes, read) or _meet(writes, written)
        if wait:
            read, written = [], []
        read, written = read + reads, written + writes
        needed.append(wait)
    return needed


def _stretch(buffer: Buffer, places: Mapping[Buffer, int], limits: Limits) -> Stretch:
    return places[buffer], places[buffer] + buffer_bytes(buffer, limits)


def _meet(some: Sequence[Stretch], others: Sequence[Stretch]) -> bool:
    return any(a < d and c < b for a, b in some for c, d in others)
