"""Fragments: which numbers of a matrix product each lane holds (see `mma_s8` and `mma_f16`).

A quad is four lanes. Of A (16 rows) it holds the rows q and q + 8, of B (8 columns) the column q,
where q is its place in the warp. Of C (16, 8) a lane with place t in its quad holds
| row q: columns 2t, 2t + 1 | row q + 8: columns 2t, 2t + 1 |.
"""

from ops.cuda.kernels.intrinsics.primitives import Int, f32, i32
from ops.cuda.kernels.intrinsics.warps import lane, mma_f16


def quad() -> Int:
    """The place q of this lane's quad in the warp."""
    return i32(lane() >> 2)


def quad_lane() -> Int:
    """The place t of this lane in its quad."""
    return i32(lane() & 3)


def c_row(n: Int) -> Int:
    """The row of C that a lane's number n % 4 is in."""
    return i32(n % 4 // 2 * 8 + quad())


def c_column(n: Int) -> Int:
    return i32(n % 2 + 2 * quad_lane())


def clear(c, count: Int) -> None:
    for n in range(count):
        c[n] = f32(0)


def multiply_add(c, first: Int, a, b0: Int, b1: Int) -> None:
    """c[first : first + 4], a fragment of C, grows by A (16, 16) times B (16, 8) of float16."""
    c0, c1, c2, c3 = mma_f16(
        a[0], a[1], a[2], a[3], b0, b1, c[first], c[first + 1], c[first + 2], c[first + 3]
    )
    c[first], c[first + 1], c[first + 2], c[first + 3] = c0, c1, c2, c3
