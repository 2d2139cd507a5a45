"""Addresses of what a tile meets: one a token (`Rows`) or one a panel (`Panels`)."""

import operator

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from ops.cpu.kernels.compiler import target
from ops.cpu.kernels.registers import I32, I64, Panels, Rows, gathered


@intrinsic
def pair(context, first, second):
    """The addresses of two panels."""

    def code(context, builder, signature, arguments):
        return gathered(builder, list(arguments))

    return Panels(2)(types.int64, types.int64), code


@intrinsic
def _moved(context, panels, offset):
    def code(context, builder, signature, arguments):
        parts = [builder.extract_value(arguments[0], n) for n in range(panels.panels)]
        return gathered(builder, [builder.add(part, arguments[1]) for part in parts])

    return panels(panels, types.int64), code


@overload(operator.add)
def _add_offset(panels, offset):
    if isinstance(panels, Panels) and isinstance(offset, types.Integer):
        return lambda panels, offset: _moved(panels, offset)
    return None


@intrinsic
def row(context, address):
    """A single address."""

    def code(context, builder, signature, arguments):
        return gathered(builder, [arguments[0]])

    return Rows(1)(types.int64), code


def rows(count):
    """An intrinsic: (base, stride) -> so many addresses, a stride apart."""

    @intrinsic
    def spaced(context, base, stride):
        def code(context, builder, signature, arguments):
            return _spaced(builder, *arguments, count)

        return Rows(count)(types.int64, types.int64), code

    return spaced


def _spaced(builder, base, stride, count):
    steps = [ir.Constant(I64, n) for n in range(count)]
    return gathered(builder, [builder.add(base, builder.mul(stride, n)) for n in steps])


def _tile(count_of):
    """The rung's tile of rows: (its size, rows a stride apart, rows that are listed)."""

    @intrinsic
    def size(context):
        def code(context, builder, signature, arguments):
            return ir.Constant(I64, count_of(target()))

        return types.int64(), code

    @intrinsic
    def apart(context, base, stride):
        count = count_of(target())

        def code(context, builder, signature, arguments):
            return _spaced(builder, *arguments, count)

        return Rows(count)(types.int64, types.int64), code

    @intrinsic
    def listed(context, base, stride, numbers, divisor):
        count = count_of(target())

        def code(context, builder, signature, arguments):
            base, stride, numbers, divisor = arguments
            place, parts = builder.inttoptr(numbers, I32.as_pointer()), []
            for n in range(count):
                raw = builder.load(builder.gep(place, [ir.Constant(I32, n)]), align=1)
                number = builder.udiv(builder.zext(raw, I64), divisor)
                parts.append(builder.add(base, builder.mul(stride, number)))
            return gathered(builder, parts)

        return Rows(count)(*[types.int64] * 4), code

    return size, apart, listed


# (), (base, stride), and (base, stride, numbers, divisor): base + stride · (number // divisor)
tile_size, tile_of_rows, tile_of_rows_listed = _tile(lambda rung: rung.queries)
tokens_at_once, rows_of_tokens, rows_of_listed_tokens = _tile(lambda rung: rung.tokens)
