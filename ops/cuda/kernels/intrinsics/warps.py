"""Thread indices, barriers, and intrinsics that a warp executes together."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ops.cuda.kernels.intrinsics.arithmetic import greater, plus
from ops.cuda.kernels.intrinsics.primitives import (
    EVERYONE,
    WARP,
    Float,
    Int,
    as_bytes,
    as_halves,
    collective,
    i32,
    intrinsic,
    wrapped,
)


@intrinsic("mov.u32 $0, %tid.x;", "i:", kind="register")
def thread_x() -> Any: ...


@intrinsic("mov.u32 $0, %ctaid.x;", "i:", kind="register")
def block_x() -> Any: ...


@intrinsic("mov.u32 $0, %ctaid.y;", "i:", kind="register")
def block_y() -> Any: ...


@intrinsic("mov.u32 $0, %ctaid.z;", "i:", kind="register")
def block_z() -> Any: ...


@intrinsic("mov.u32 $0, %ntid.x;", "i:", kind="register")
def threads() -> Any: ...


@intrinsic("mov.u32 $0, %nctaid.x;", "i:", kind="register")
def blocks_x() -> Any: ...


@intrinsic("bar.sync 0;", ":", kind="barrier", effects=True)
def barrier() -> Any:
    """A barrier of the block: memory written before it is visible to all its threads after it."""


@intrinsic("", "i:", kind="shared_base")
def shared_memory() -> Any:
    """The address of the block's dynamic shared memory, sized by the launch."""


def lane() -> Int:
    """The index of this thread in its warp."""
    return i32(thread_x() & 31)


def warp() -> Int:
    """The index of this warp in its block."""
    return i32(thread_x() >> 5)


# --- collective intrinsics


Lanes = Sequence[Any]  # the operands of each of the 32 lanes


@collective(f"shfl.sync.bfly.b32 $0, $1, $2, 31, {EVERYONE};", "i:ii")
def shuffle_xor(lanes: Lanes) -> list[Any]:
    """(number, mask): the number of lane `lane ^ mask`."""
    return [lanes[n ^ mask][0] for n, (_, mask) in enumerate(lanes)]


@collective(f"shfl.sync.bfly.b32 $0, $1, $2, 31, {EVERYONE};", "f:fi")
def shuffle_xor_float(lanes: Lanes) -> list[Any]:
    return [lanes[n ^ mask][0] for n, (_, mask) in enumerate(lanes)]


@collective(f"shfl.sync.idx.b32 $0, $1, $2, 31, {EVERYONE};", "i:ii")
def shuffle(lanes: Lanes) -> list[Any]:
    """(number, lane): that lane's number."""
    return [lanes[source % WARP][0] for _, source in lanes]


@collective(f"bar.warp.sync {EVERYONE};", ":")
def warp_barrier(lanes: Lanes) -> list[Any]:
    """A barrier of the warp: shared memory written before it is visible to its threads after it."""
    return [None] * len(lanes)


def _mma_s8(sm: int) -> str:
    if sm >= 80:
        return (
            "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
            "{$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13};"
        )
    eight = "mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32"
    return (
        "{ .reg .b32 p, q, r, s; "
        f"{eight} {{p, q}}, {{$4}}, {{$8}}, {{$10, $11}}; {eight} {{$0, $1}}, {{$6}}, {{$9}}, "
        f"{{p, q}}; {eight} {{r, s}}, {{$5}}, {{$8}}, {{$12, $13}}; {eight} {{$2, $3}}, {{$7}}, "
        "{$9}, {r, s}; }"
    )


@collective(_mma_s8, "iiii:iiiiiiiiii")
def mma_s8(lanes: Lanes) -> list[Any]:
    """(a0..a3, b0, b1, c0..c3): C (16, 8) + A (16, 32) B (32, 8) of signed bytes.

    With g = lane // 4 and t = lane % 4 a lane holds of A the columns 4t.. of the rows g and g + 8
    (a0, a1) and the same of the columns 16 + 4t.. (a2, a3); of B the rows 4t.. (b0) and 16 + 4t..
    (b1) of column g; of C the columns 2t, 2t + 1 of row g (c0, c1) and of row g + 8 (c2, c3).
    """
    A, B = np.zeros((16, 32), np.int32), np.zeros((32, 8), np.int32)
    for lane, given in enumerate(lanes):
        g, t = divmod(lane, 4)
        for part, (row, column) in enumerate(((g, 0), (g + 8, 0), (g, 16), (g + 8, 16))):
            A[row, column + 4 * t : column + 4 * t + 4] = as_bytes(given[part])
        for part in range(2):
            B[16 * part + 4 * t : 16 * part + 4 * t + 4, g] = as_bytes(given[4 + part])
    return _c_fragments(A @ B, lanes, 6, wrapped)


def _mma_s8_half(sm: int) -> str:
    if sm >= 80:
        return (
            "mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 "
            "{$0, $1, $2, $3}, {$4, $5}, {$6}, {$7, $8, $9, $10};"
        )
    eight = "mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32"
    return (
        f"{{ {eight} {{$0, $1}}, {{$4}}, {{$6}}, {{$7, $8}}; "
        f"{eight} {{$2, $3}}, {{$5}}, {{$6}}, {{$9, $10}}; }}"
    )


@collective(_mma_s8_half, "iiii:iiiiiii")
def mma_s8_half(lanes: Lanes) -> list[Any]:
    """(a0, a1, b0, c0..c3): as `mma_s8`, but of 16 columns of A."""
    A, B = np.zeros((16, 16), np.int32), np.zeros((16, 8), np.int32)
    for lane, given in enumerate(lanes):
        g, t = divmod(lane, 4)
        A[g, 4 * t : 4 * t + 4] = as_bytes(given[0])
        A[g + 8, 4 * t : 4 * t + 4] = as_bytes(given[1])
        B[4 * t : 4 * t + 4, g] = as_bytes(given[2])
    return _c_fragments(A @ B, lanes, 3, wrapped)


def _mma_f16(sm: int) -> str:
    kind = "row.col.f32.f16.f16.f32"
    if sm >= 80:
        return (
            f"mma.sync.aligned.m16n8k16.{kind} "
            "{$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13};"
        )
    eight = f"mma.sync.aligned.m16n8k8.{kind}"
    return (
        "{ .reg .f32 p, q, r, s; "
        f"{eight} {{p, q, r, s}}, {{$4, $5}}, {{$8}}, {{$10, $11, $12, $13}}; "
        f"{eight} {{$0, $1, $2, $3}}, {{$6, $7}}, {{$9}}, {{p, q, r, s}}; }}"
    )


@collective(_mma_f16, "ffff:iiiiiiffff")
def mma_f16(lanes: Lanes) -> list[Any]:
    """(a0..a3, b0, b1, c0..c3): C (16, 8) + A (16, 16) B (16, 8) of float16, summed in float32.

    As `mma_s8`, with two float16 in place of four bytes: the columns 2t, 2t + 1 of A's
    row g (a0) and row g + 8 (a1), and 8 + 2t, 9 + 2t of both (a2, a3).
    """
    A, B = np.zeros((16, 16), np.float64), np.zeros((16, 8), np.float64)
    for lane, given in enumerate(lanes):
        g, t = divmod(lane, 4)
        for part, (row, column) in enumerate(((g, 0), (g + 8, 0), (g, 8), (g + 8, 8))):
            A[row, column + 2 * t : column + 2 * t + 2] = as_halves(given[part])
        for part in range(2):
            B[8 * part + 2 * t : 8 * part + 2 * t + 2, g] = as_halves(given[4 + part])
    with np.errstate(all="ignore"):
        # einsum: a column's sums must not depend on the other columns, as BLAS's may
        product = np.einsum("mk,kn->mn", A, B)
        return _c_fragments(product, lanes, 6, np.float32)


def _c_fragments(
    product: Any, lanes: Lanes, first: int, kind: Callable[[Any], Any]
) -> list[tuple[Any, ...]]:
    """Each lane's fragment of C + the product; its C begins at operand `first`."""
    out = []
    for lane, given in enumerate(lanes):
        g, t = divmod(lane, 4)
        places = ((g, 2 * t), (g, 2 * t + 1), (g + 8, 2 * t), (g + 8, 2 * t + 1))
        out.append(tuple(kind(given[first + n] + product[place]) for n, place in enumerate(places)))
    return out


def warp_sum(a: Float) -> Float:
    """The sum over a warp's lanes, in all of them, always in the same order."""
    a = plus(a, shuffle_xor_float(a, 16))
    a = plus(a, shuffle_xor_float(a, 8))
    a = plus(a, shuffle_xor_float(a, 4))
    a = plus(a, shuffle_xor_float(a, 2))
    return plus(a, shuffle_xor_float(a, 1))


def warp_maximum(a: Float) -> Float:
    a = greater(a, shuffle_xor_float(a, 16))
    a = greater(a, shuffle_xor_float(a, 8))
    a = greater(a, shuffle_xor_float(a, 4))
    a = greater(a, shuffle_xor_float(a, 2))
    return greater(a, shuffle_xor_float(a, 1))
