"""Products of pairs of rows with pairs of tokens, for rungs that multiply matrices of 2 x 8 bytes.

The levels of 8 columns are two registers: those of a row follow each other, row by row.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ops.cpu.instruction_sets.llvm import I8, I32, I64, LANES, joined, pointer, register, shuffled
from ops.cpu.kernels.simd.compiler import target
from ops.cpu.kernels.simd.registers import Vec, each, gathered, operation

GROUP_BYTES = 128  # the levels of 8 columns of 16 rows
PAIR = ir.VectorType(I8, 16)  # 8 bytes of each of two rows


def _interleaved(half):
    """Lanes of two registers in turn, of their first or last halves: 8 columns of 8 rows."""
    start = LANES // 2 * half
    places = [place for n in range(start, start + LANES // 2) for place in (n, LANES + n)]

    def emit(builder, first, second):
        words = [builder.bitcast(part, register("i32")) for part in (first, second)]
        return builder.bitcast(shuffled(builder, *words, places), register("u8"))

    return operation("u8", emit, 2)


first_rows, last_rows = _interleaved(0), _interleaved(1)  # of columns 4g .. and 4g + 4 ..


def _load(builder, address, kind, offset):
    return builder.load(pointer(builder, address, kind, offset), align=1)


def _two_tokens(builder, rows, offset):
    """8 activations of each of two tokens."""
    both = ir.Constant(ir.VectorType(I64, 2), ir.Undefined)
    for n, row in enumerate(rows):
        both = builder.insert_element(both, _load(builder, row, I64, offset), I32(n))
    return builder.bitcast(both, PAIR)


def _two_rows(builder, levels, x):
    """The sums of two rows with two tokens over all groups of columns."""
    total = ir.Constant(ir.VectorType(I32, 4), [0] * 4)
    for w, activations in zip(levels, x, strict=True):
        total = target().multiply_pairs(builder, total, w, activations)
    return total


def _by_token(builder, rows):
    """The sums of 16 rows with either token, from those of each two rows."""
    fours = zip(rows[::2], rows[1::2], strict=True)
    tokens = [[shuffled(builder, *four, range(n, 8, 2)) for n in range(2)] for four in fours]
    return [joined(builder, list(parts)) for parts in zip(*tokens, strict=True)]


def pair_products(first, stop):
    """products(w, x, offset): the sums of groups first .. stop - 1 of 8 columns, of one panel."""
    groups = range(first, stop)

    @intrinsic
    def products(context, w, x, offset):
        def code(context, builder, signature, arguments):
            w, rows, offset = arguments
            [w], rows = each(builder, w), each(builder, rows)
            levels = [
                [_load(builder, w, PAIR, I64(GROUP_BYTES * g + 16 * pair)) for g in groups]
                for pair in range(LANES // 2)
            ]
            sums = []
            for n in range(0, x.count, 2):
                two = (rows[n : n + 2] * 2)[:2]  # an odd one is its own partner
                places = [builder.add(offset, I64(8 * g)) for g in groups]
                tokens = [_two_tokens(builder, two, place) for place in places]
                sums += _by_token(builder, [_two_rows(builder, pair, tokens) for pair in levels])
            return gathered(builder, sums[: x.count])

        return Vec("i32", x.count)(w, x, types.int64), code

    return products
