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


def rows_apart(element, units):
    """An intrinsic (source, row_bytes, out): interleaves `units` elements of each of 16 rows."""

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
    """The elements of two vectors, alternating."""
    count = first.type.count
    order = [n + of * count for n in range(count) for of in range(2)]
    return shuffled(builder, first, second, order)


def _interleave(element, load, store):
    size = element.width // 8
    lines, quarters, single = (rows_apart(element, n) for n in (LINE // size, 16 // size, 1))

    @device
    def interleave(source, row_bytes, rows, length, out):
        """Unit n of the rows goes to units 16n .. 16n + 15 of `out`; missing rows are zero."""
        offset = 0
        if rows == PANEL_ROWS:
            while offset + LINE <= length:
                lines(source + offset, row_bytes, out + PANEL_ROWS * offset)
                offset += LINE
            while offset + 16 <= length:
                quarters(source + offset, row_bytes, out + PANEL_ROWS * offset)
                offset += 16
            while offset < length:
                single(source + offset, row_bytes, out + PANEL_ROWS * offset)
                offset += size
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

    `fields`: the fields of a block, each as (bytes of its unit, bytes).
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
            first_row = source + (p // panels * rows + first) * row_bytes
            panel, left = out + p * PANEL_ROWS * row_bytes, min(rows - first, PANEL_ROWS)
            for b in range(blocks):
                offset = b * block_bytes
                for f in range(field_count):
                    unit, length = load_i64(fields, 2 * f), load_i64(fields, 2 * f + 1)
                    source_field, out_field = first_row + offset, panel + PANEL_ROWS * offset
                    field(unit, source_field, row_bytes, left, length, out_field)
                    offset += length
        taken = claim(op, size)


def advise(op, step, thread, threads):
    """Calls the C function `madvise`: function, address, bytes, advice."""
    if thread == 0:
        call_c(load_i64(op, 0), load_i64(op, 1), load_i64(op, 2), load_i64(op, 3), 0)
