"""Packing: 16 rows of a weight interleaved into a panel, word by word (see panels.py)."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ops.cpu.instruction_sets.llvm import I8, I16, I32, I64, pointer, shuffled
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import (
    call_c,
    claim,
    load_i64,
    load_u8,
    load_u16,
    load_u32,
    part_size,
    parts_of,
    store_i32,
    store_u8,
    store_u16,
)
from ops.cpu.layout import LINE, PANEL_ROWS

MADV_DONTNEED = 4


def _rows_apart(element, units):
    """An intrinsic (source, row_bytes, out): of each of 16 rows some neighbours, interleaved."""

    @intrinsic
    def interleave(context, source, row_bytes, out):
        def code(context, builder, signature, arguments):
            source, row_bytes, out = arguments
            kind, parts = ir.VectorType(element, units), []
            for lane in range(PANEL_ROWS):
                address = builder.add(source, builder.mul(row_bytes, I64(lane)))
                parts.append(builder.load(pointer(builder, address, kind), align=1))
            while len(parts) > 1:
                half = len(parts) // 2
                pairs = zip(parts[:half], parts[half:], strict=True)
                parts = [_zipped(builder, *pair) for pair in pairs]
            builder.store(parts[0], pointer(builder, out, parts[0].type), align=1)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 3), code

    return interleave


def _zipped(builder, first, second):
    """The elements of two vectors in turn."""
    count = first.type.count
    order = [n + of * count for n in range(count) for of in range(2)]
    return shuffled(builder, first, second, order)


def _interleave(element, load, store):
    size = element.width // 8
    lines, quarters, single = (_rows_apart(element, n) for n in (LINE // size, 16 // size, 1))

    @device
    def interleave(source, row_bytes, rows, length, out):
        """Unit n of each of the rows goes to the units 16n of `out`; rows that are not are zero."""
        at = 0
        if rows == PANEL_ROWS:
            while at + LINE <= length:
                lines(source + at, row_bytes, out + PANEL_ROWS * at)
                at += LINE
            while at + 16 <= length:
                quarters(source + at, row_bytes, out + PANEL_ROWS * at)
                at += 16
            while at < length:
                single(source + at, row_bytes, out + PANEL_ROWS * at)
                at += size
            return
        for n in range(length // size):
            for lane in range(rows):
                store(out, PANEL_ROWS * n + lane, load(source + lane * row_bytes, n))
            for lane in range(rows, PANEL_ROWS):
                store(out, PANEL_ROWS * n + lane, 0)

    return interleave


words, halves, single_bytes = (
    _interleave(I32, load_u32, store_i32),
    _interleave(I16, load_u16, store_u16),
    _interleave(I8, load_u8, store_u8),
)


@device
def field(unit, source, row_bytes, rows, length, out):
    if unit == 4:
        words(source, row_bytes, rows, length, out)
    elif unit == 2:
        halves(source, row_bytes, rows, length, out)
    else:
        single_bytes(source, row_bytes, rows, length, out)


def pack(op, step, thread, threads):
    """(matrices · rows, row bytes) -> (matrices, panels, blocks, block bytes · 16).

    `fields`: pairs of a unit and the bytes of that unit, one after the other in a block.
    """
    source, row_bytes, matrices = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2)
    rows, out, block_bytes = load_i64(op, 3), load_i64(op, 4), load_i64(op, 5)
    fields, field_count = load_i64(op, 6), load_i64(op, 7)
    panels, blocks = parts_of(rows, PANEL_ROWS), row_bytes // block_bytes
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
