"""Packing: 16 rows of a weight interleaved into a panel, word by word (see panels.py)."""

from ops.cpu.kernels.compiler import device
from ops.cpu.kernels.memory import (
    call_c,
    claim,
    load_i64,
    load_u8,
    load_u16,
    load_u32,
    part_size,
    store_i32,
    store_u8,
    store_u16,
)
from ops.cpu.layout import PANEL_ROWS

MADV_DONTNEED = 4


def _interleave(load, store):
    @device
    def interleave(source, row_bytes, rows, units, out):
        """Unit n of each of the rows goes to the units 16n of `out`; rows that are not are zero."""
        for lane in range(rows):
            for n in range(units):
                store(out, PANEL_ROWS * n + lane, load(source + lane * row_bytes, n))
        for lane in range(rows, PANEL_ROWS):
            for n in range(units):
                store(out, PANEL_ROWS * n + lane, 0)

    return interleave


words, halves, single_bytes = (
    _interleave(load_u32, store_i32),
    _interleave(load_u16, store_u16),
    _interleave(load_u8, store_u8),
)


@device
def field(unit, source, row_bytes, rows, size, out):
    if unit == 4:
        words(source, row_bytes, rows, size // 4, out)
    elif unit == 2:
        halves(source, row_bytes, rows, size // 2, out)
    else:
        single_bytes(source, row_bytes, rows, size, out)


def pack(op, step, thread, threads):
    """(matrices · rows, row bytes) -> (matrices, panels, blocks, block bytes · 16).

    `fields`: pairs of a unit and the bytes of that unit, one after the other in a block.
    """
    source, row_bytes, matrices, rows = (
        load_i64(op, 0),
        load_i64(op, 1),
        load_i64(op, 2),
        load_i64(op, 3),
    )
    out, block_bytes, fields, field_count = (
        load_i64(op, 4),
        load_i64(op, 5),
        load_i64(op, 6),
        load_i64(op, 7),
    )
    panels, blocks = (rows + PANEL_ROWS - 1) // PANEL_ROWS, row_bytes // block_bytes
    total, size = matrices * panels, part_size(matrices * panels, threads)
    taken = claim(op, size)
    while taken < total:
        for p in range(taken, min(taken + size, total)):
            first = p % panels * PANEL_ROWS
            here = source + (p // panels * rows + first) * row_bytes
            there, left = out + p * PANEL_ROWS * row_bytes, min(rows - first, PANEL_ROWS)
            for b in range(blocks):
                at = b * block_bytes
                for f in range(field_count):
                    unit, length = load_i64(fields, 2 * f), load_i64(fields, 2 * f + 1)
                    field(unit, here + at, row_bytes, left, length, there + PANEL_ROWS * at)
                    at += length
        taken = claim(op, size)


def release(op, step, thread, threads):
    """Gives mapped pages back by the C function `madvise`: the file still has what they held."""
    if thread == 0:
        call_c(load_i64(op, 0), load_i64(op, 1), load_i64(op, 2), MADV_DONTNEED, 0)
