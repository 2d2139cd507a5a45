"""Addresses of a tile's operands: one per token (`Rows`) or one per panel (`Panels`)."""

import operator

from numba import types
from numba.extending import intrinsic, overload

from ops.cpu.instruction_sets.llvm import I32, I64, pointer
from ops.cpu.kernels.simd.compiler import target
from ops.cpu.kernels.simd.registers import Panels, Rows, each, gathered


@intrinsic
def pair(context, first, second):
    """The addresses of two panels."""

    def code(context, builder, signature, arguments):
        return gathered(builder, list(arguments))

    return Panels(2)(types.int64, types.int64), code


@intrinsic
def _moved(context, places, offset):
    def code(context, builder, signature, arguments):
        addresses, offset = arguments
        return gathered(builder, [builder.add(one, offset) for one in each(builder, addresses)])

    return places(places, types.int64), code


@overload(operator.add)
def _add_offset(places, offset):
    if isinstance(places, Panels | Rows) and isinstance(offset, types.Integer):
        return lambda places, offset: _moved(places, offset)
    return None


@intrinsic
def row(context, address):
    """A single address."""

    def code(context, builder, signature, arguments):
        return gathered(builder, list(arguments))

    return Rows(1)(types.int64), code


@intrinsic
def rows_in(context, rows):
    """How many addresses these are, known when the kernel is compiled."""

    def code(context, builder, signature, arguments):
        return I64(rows.count)

    return types.int64(rows), code


def _strided(kind, count_of):
    """(base, stride): `count_of(rung)` addresses, a stride apart."""

    @intrinsic
    def strided(context, base, stride):
        count = count_of(target())

        def code(context, builder, signature, arguments):
            base, stride = arguments
            steps = [builder.mul(stride, I64(n)) for n in range(count)]
            return gathered(builder, [builder.add(base, step) for step in steps])

        return kind(count)(types.int64, types.int64), code

    return strided


def rows(count):
    """An intrinsic: (base, stride) -> `count` addresses, a stride apart."""
    return _strided(Rows, lambda rung: count)


def _below(builder, count, size):
    """The numbers 0 .. size - 1; those from the count on become count - 1, which is at least 0."""
    last, places = builder.sub(count, I64(1)), [I64(0)]
    for n in range(1, size):
        is_below = builder.icmp_signed("<", I64(n), count)
        places.append(builder.select(is_below, I64(n), last))
    return places


class Tile:
    """As many rows as the rung says: their number, `size()`, and their addresses.

    strided(base, stride): a stride apart; some(base, stride, count): of a count of rows.
    indexed(base, stride, numbers, divisor, count): base + stride · (number // divisor), for a
    count of int32 numbers from an address on. If the count is below the size, its last row repeats.
    """

    def __init__(self, count_of):
        @intrinsic
        def size(context):
            def code(context, builder, signature, arguments):
                return I64(count_of(target()))

            return types.int64(), code

        @intrinsic
        def some(context, base, stride, count):
            size = count_of(target())

            def code(context, builder, signature, arguments):
                base, stride, count = arguments
                steps = [builder.mul(stride, n) for n in _below(builder, count, size)]
                return gathered(builder, [builder.add(base, step) for step in steps])

            return Rows(size)(*[types.int64] * 3), code

        @intrinsic
        def indexed(context, base, stride, numbers, divisor, count):
            size = count_of(target())

            def code(context, builder, signature, arguments):
                base, stride, numbers, divisor, count = arguments
                place, parts = pointer(builder, numbers, I32), []
                for n in _below(builder, count, size):
                    raw = builder.load(builder.gep(place, [n]), align=1)
                    number = builder.udiv(builder.zext(raw, I64), divisor)
                    parts.append(builder.add(base, builder.mul(stride, number)))
                return gathered(builder, parts)

            return Rows(size)(*[types.int64] * 5), code

        self.size, self.indexed = size, indexed
        self.strided, self.some = _strided(Rows, count_of), some


QUERIES, TOKENS = Tile(lambda rung: rung.queries), Tile(lambda rung: rung.tokens)
FEWER_TOKENS = Tile(lambda rung: max(1, rung.tokens - 1))
ONE_TOKEN = Tile(lambda rung: 1)
tile_size, tile_of_rows, tile_of_rows_indexed = QUERIES.size, QUERIES.strided, QUERIES.indexed
tile_of_panels = _strided(Panels, lambda rung: rung.queries)
