"""Packs a file's rows into panels (see weights.py), on the card: one thread per block of a row.

Thread blocks along x are panels, along y units; space beyond the last row or block stays zero.
"""

from collections.abc import Callable

from ops.cuda.kernels.formats.weights import PANEL_ROWS, PANELS
from ops.cuda.kernels.intrinsics.arithmetic import float_of, safe_halves, shift_left
from ops.cuda.kernels.intrinsics.kernel import Kernel, kernel
from ops.cuda.kernels.intrinsics.memory import (
    load_byte,
    load_short,
    store_byte,
    store_int,
    store_short,
)
from ops.cuda.kernels.intrinsics.primitives import Int, f32, i32
from ops.cuda.kernels.intrinsics.warps import block_x, block_y, thread_x
from ops.cuda.kernels.operands import Pack

Levels = Callable[[int, int, int], int]
"""(a file's block or super-block, block in it, weight) -> its lower four bits."""
Rest = Callable[[int, int, int, int], None]
"""(a file's block or super-block, block of the unit, unit, lane): stores all but those bits."""


def packed(name: str, block_bytes: int, in_block: int, level: Levels, rest: Rest) -> Kernel:
    """`in_block` blocks of 32 lie in `block_bytes` of the file."""
    unit_blocks, unit_bytes = PANELS[name].blocks, PANELS[name].unit_bytes
    step, beside, away = 8, 1, 4  # weights from one word, byte, half of a byte to the next
    if PANELS[name].halves:
        step, away = 4, 16
    if PANELS[name].indexed:
        beside, away = 2, 1

    @kernel(PANEL_ROWS * unit_blocks)
    def pack(op: Pack) -> None:
        lane, n = thread_x() % PANEL_ROWS, thread_x() // PANEL_ROWS
        row, block = block_x() * PANEL_ROWS + lane, block_y() * unit_blocks + n
        if row < op.rows and block < op.blocks:
            unit = op.target + block_x() * op.panel_bytes + block_y() * unit_bytes
            file = op.source + row * op.row_bytes + block // in_block * block_bytes
            inner = block % in_block
            for i in range(4):
                for b in range(4):
                    weight = step * i + beside * b
                    low, high = level(file, inner, weight), level(file, inner, weight + away)
                    store_byte(unit + n * 512 + lane * 16 + 4 * i + b, low | high << 4)
            rest(file, n, unit, lane)

    return pack


def scale_rest(file: int, n: int, unit: int, lane: int) -> None:
    """For formats whose blocks begin with a scale in float16."""
    store_short(unit + 4 * 512 + lane * 8 + n * 2, load_short(file))


def q4_0_level(file: int, n: int, weight: int) -> int:
    """In two's complement."""
    return (load_byte(file + 2 + weight % 16) >> weight // 16 * 4 & 15) ^ 8


def copy_head(source: int, target: int) -> None:
    """Copies 16 bytes; the source is aligned to 2 bytes only."""
    for part in range(4):
        low, high = load_short(source + 4 * part), load_short(source + 4 * part + 2)
        store_int(target + 4 * part, low | shift_left(high, 16))


def q4_k_level(file: int, n: int, weight: int) -> int:
    return load_byte(file + 16 + n // 2 * 32 + weight) >> n % 2 * 4 & 15


def q4_k_rest(file: int, n: int, unit: int, lane: int) -> None:
    if n == 0:
        copy_head(file, unit + 8 * 512 + lane * 16)


def q5_k_level(file: int, n: int, weight: int) -> int:
    return load_byte(file + 48 + n // 2 * 32 + weight) >> n % 2 * 4 & 15


def q5_k_rest(file: int, n: int, unit: int, lane: int) -> None:
    if n == 0:
        copy_head(file, unit + 8 * 512 + 8 * 128 + lane * 16)
    for b in range(4):
        gathered = 0
        for i in range(8):
            gathered |= (load_byte(file + 16 + 4 * i + b) >> n & 1) << i
        store_byte(unit + 8 * 512 + n * 128 + lane * 4 + b, gathered)


def q6_k_level(file: int, n: int, weight: int) -> int:
    half, quarter = n // 4, n % 4
    return load_byte(file + half * 64 + quarter % 2 * 32 + weight) >> quarter // 2 * 4 & 15


def q6_k_rest(file: int, n: int, unit: int, lane: int) -> None:
    """Flips the highest of six bits: levels become two's complement."""
    head = unit + 8 * 512 + 8 * 256
    if n == 0:
        copy_head(file + 192, head + lane * 16)
        store_short(head + 512 + lane * 2, load_short(file + 208))
    high = file + 128 + n // 4 * 32
    for word in range(2):
        for b in range(4):
            gathered = 0
            for i in range(4):
                two = load_byte(high + 16 * word + 4 * i + b) >> n % 4 * 2 & 3
                gathered |= (two ^ 2) << 2 * i
            store_byte(unit + 8 * 512 + n * 256 + lane * 8 + word * 4 + b, gathered)


@kernel(PANEL_ROWS * 4)
def pack_q8_0(op: Pack) -> None:
    lane, n = thread_x() % PANEL_ROWS, thread_x() // PANEL_ROWS
    row, block = block_x() * PANEL_ROWS + lane, block_y() * 4 + n
    if row < op.rows and block < op.blocks:
        unit = op.target + block_x() * op.panel_bytes + block_y() * (32 * 4 * 34)
        file = op.source + row * op.row_bytes + block * 34
        for b in range(32):
            place = unit + n * 1024 + b // 16 * 512 + lane * 16 + b % 16
            store_byte(place, load_byte(file + 2 + b))
        store_short(unit + 4 * 1024 + lane * 8 + n * 2, load_short(file))


FLOAT_GROUP = 32  # weights of each row that lie together
FLOAT_GROUP_BYTES = 2048


def fragment_place(row: Int, weight: Int) -> int:
    """Bytes from a group's start to the float16 of one of 32 rows and one of 32 weights.

    A group is | rows 0-15, step 0 | step 1 | rows 16-31, step 0 | step 1 |, each the fragments of
    A of all lanes (see `mma_f16`), of columns that are chosen so that a lane needs the activations
    8t .. 8t + 7: in step s its words hold 8t + 4s, + 1 and 8t + 4s + 2, + 3.
    """
    t, inner = weight // 8, weight % 8
    step, word, part = inner // 4, inner % 4 // 2, inner % 2
    lane, half = row % 8 * 4 + t, row % 16 // 8
    return (row // 16 * 2 + step) * 512 + lane * 16 + (half + 2 * word) * 4 + part * 2


def packed_floats(as_half: Callable[[int], int]) -> Kernel:
    """Packs 16-bit floats as float16; thread blocks along y are blocks of 32 weights."""

    @kernel(PANEL_ROWS)
    def pack(op: Pack) -> None:
        lane = thread_x()
        row = block_x() * PANEL_ROWS + lane
        if row < op.rows:
            group = op.target + block_x() * op.panel_bytes + block_y() * FLOAT_GROUP_BYTES
            file = op.source + row * op.row_bytes + block_y() * 64
            for weight in range(FLOAT_GROUP):
                number = as_half(load_short(file + 2 * weight))
                store_short(group + fragment_place(lane, weight), number)

    return pack


def same(number: int) -> int:
    return number


def half_of_bfloat(number: int) -> int:
    """bfloat16 to float16; exact except below 2^-14, where the steps are 2^-24."""
    return safe_halves(float_of(i32(shift_left(number, 16))), f32(0))


def table_level(start: int) -> Levels:
    """`start`: the offset of the indices in a block."""

    def level(file: int, n: int, weight: int) -> int:
        return load_byte(file + start + n * 16 + weight % 16) >> weight // 16 * 4 & 15

    return level


def iq4_xs_rest(file: int, n: int, unit: int, lane: int) -> None:
    if n == 0:
        for part in range(4):
            store_short(unit + 8 * 512 + lane * 8 + 2 * part, load_short(file + 2 * part))


def mxfp4_rest(file: int, n: int, unit: int, lane: int) -> None:
    store_byte(unit + 4 * 512 + lane * 4 + n, load_byte(file))


PACKING: dict[str, Kernel] = {
    "Q4_0": packed("Q4_0", 18, 1, q4_0_level, scale_rest),
    "Q8_0": pack_q8_0,
    "Q4_K": packed("Q4_K", 144, 8, q4_k_level, q4_k_rest),
    "Q5_K": packed("Q5_K", 176, 8, q5_k_level, q5_k_rest),
    "Q6_K": packed("Q6_K", 210, 8, q6_k_level, q6_k_rest),
    "IQ4_NL": packed("IQ4_NL", 18, 1, table_level(2), scale_rest),
    "IQ4_XS": packed("IQ4_XS", 136, 8, table_level(8), iq4_xs_rest),
    "MXFP4": packed("MXFP4", 17, 1, table_level(1), mxfp4_rest),
    "F16": packed_floats(same),
    "BF16": packed_floats(half_of_bfloat),
}
