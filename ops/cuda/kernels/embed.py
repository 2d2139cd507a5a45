"""Looks up rows of a table in the format that products read."""

from ops.cuda.kernels.formats.packing import FLOAT_GROUP_BYTES, fragment_place
from ops.cuda.kernels.formats.weights import PANEL_ROWS, Panels
from ops.cuda.kernels.intrinsics.arithmetic import as_float, low_half, plus, signed_bits, times
from ops.cuda.kernels.intrinsics.kernel import Kernel, kernel
from ops.cuda.kernels.intrinsics.memory import load_float, load_int, load_short, store_float
from ops.cuda.kernels.intrinsics.primitives import Address, Int, i32
from ops.cuda.kernels.intrinsics.warps import block_x, thread_x

THREADS = 128


def panel_rows(panels: Panels) -> Kernel:
    """One thread block per row of y: row ids[block] of the table; eight weights per thread."""
    unit_blocks, unit_bytes = panels.blocks, panels.unit_bytes
    pair, head_of, scales_of = panels.pair, panels.head, panels.scales
    has_minimum, halves = panels.minimum, panels.halves

    @kernel(THREADS)
    def embed(table: Address, panel_bytes: Address, ids: Address, y: Address, blocks: Int) -> None:
        wanted = load_int(ids + 4 * block_x())
        panel, row = table + wanted // PANEL_ROWS * panel_bytes, wanted % PANEL_ROWS
        target = y + 4 * block_x() * blocks * 32
        for part in range(thread_x(), blocks * 4, THREADS):
            block, t = part // 4, part % 4
            unit, n = panel + block // unit_blocks * unit_bytes, block % unit_blocks
            first, second = pair(unit, n, row, t)
            scales = scales_of(head_of(unit, row), n)
            near, far = scales.factor, scales.factor
            at, away = 8 * t, 4
            if halves:
                near, far = times(near, as_float(scales.low)), times(far, as_float(scales.high))
                at, away = 4 * t, 16
            for k in range(4):
                one = times(near, as_float(signed_bits(first, 8 * k, 8)))
                two = times(far, as_float(signed_bits(second, 8 * k, 8)))
                if has_minimum:
                    one, two = plus(one, -scales.minimum), plus(two, -scales.minimum)
                place = target + 4 * (block * 32 + at + k)
                store_float(place, one)
                store_float(place + 4 * away, two)

    return embed


@kernel(THREADS)
def half_rows(table: Address, panel_bytes: Address, ids: Address, y: Address, blocks: Int) -> None:
    """From float16 in fragments; `blocks` are groups of 32."""
    wanted = load_int(ids + 4 * block_x())
    panel, row = table + wanted // PANEL_ROWS * panel_bytes, wanted % PANEL_ROWS
    for n in range(thread_x(), blocks * 32, THREADS):
        place = panel + n // 32 * FLOAT_GROUP_BYTES + fragment_place(row, i32(n % 32))
        store_float(y + 4 * (block_x() * blocks * 32 + n), low_half(load_short(place)))


@kernel(THREADS)
def single_rows(table: Address, ids: Address, y: Address, width: Int) -> None:
    """From float32 rows as in the file."""
    source = table + 4 * load_int(ids + 4 * block_x()) * width
    for n in range(thread_x(), width, THREADS):
        store_float(y + 4 * (block_x() * width + n), load_float(source + 4 * n))
