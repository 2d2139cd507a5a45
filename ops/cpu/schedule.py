"""Barriers: an operator waits only if it touches memory that was used since the last one.

Operators between two barriers run concurrently (the products of q, k and v, for instance). Later
buffers reuse memory, so addresses are compared, not buffers.
"""

from collections.abc import Mapping, Sequence

from ops.memory_plan import Limits, buffer_bytes
from ops.operations.base import Buffer, Operation

Range = tuple[int, int]  # first address, and the one after the last
STATE: Range = (-1, 0)  # stands for the sequences' states, whose addresses change


def barriers(
    operations: Sequence[Operation], places: Mapping[Buffer, int], limits: Limits
) -> list[bool]:
    """For each operation, whether all threads must have finished the ones before it."""
    needed, read, written = [], list[Range](), list[Range]()
    for op in operations:
        reads = [_range(buffer, places, limits) for buffer in op.inputs]
        writes = [_range(buffer, places, limits) for buffer in op.outputs]
        reads += [STATE] * op.reads_state
        writes += [STATE] * (op.state is not None)
        wait = _overlap(reads, written) or _overlap(writes, read) or _overlap(writes, written)
        if wait:
            read, written = [], []
        read, written = read + reads, written + writes
        needed.append(wait)
    return needed


def _range(buffer: Buffer, places: Mapping[Buffer, int], limits: Limits) -> Range:
    return places[buffer], places[buffer] + buffer_bytes(buffer, limits)


def _overlap(some: Sequence[Range], others: Sequence[Range]) -> bool:
    return any(a < d and c < b for a, b in some for c, d in others)
