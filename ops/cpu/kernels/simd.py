"""Explicit SIMD inside Numba: arithmetic on tiles of registers, between lanes, and memory.

Nearly every intrinsic is one instruction of LLVM's. registers.py tells what a tile is.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ops.cpu.kernels.compiler import target
from ops.cpu.kernels.half import narrow_half, widen_bf16, widen_half
from ops.cpu.kernels.registers import (
    ELEMENTS,
    FLOAT,
    FLOATS,
    I8,
    I16,
    I32,
    I64,
    INTS,
    LANES,
    Vec,
    call,
    constant,
    gathered,
    method,
    operation,
    register,
    shape_of,
    splat,
)

# floats; a scalar operand stands in every lane
add = operation("f32", method("fadd"), 2)
subtract = operation("f32", method("fsub"), 2)
multiply = operation("f32", method("fmul"), 2)
divide = operation("f32", method("fdiv"), 2)


def _fma(builder, a, b, c):
    if "fma" in target().needs or target().name == "dotprod":
        return call(builder, "llvm.fma.v16f32", a.type, a, b, c)
    return builder.fadd(builder.fmul(a, b), c)


fma = operation("f32", _fma, 3)  # a·b + c
maximum = operation("f32", lambda b, x, y: b.select(b.fcmp_ordered(">", x, y), x, y), 2)
minimum = operation("f32", lambda b, x, y: b.select(b.fcmp_ordered("<", x, y), x, y), 2)
absolute = operation("f32", lambda b, x: call(b, "llvm.fabs.v16f32", x.type, x), 1)
rounded = operation("f32", lambda b, x: call(b, "llvm.rint.v16f32", x.type, x), 1)
to_float = operation("f32", lambda b, x: b.sitofp(x, register("f32")), 1)
bits_to_float = operation("f32", lambda b, x: b.bitcast(x, register("f32")), 1)
less = operation("mask", lambda b, x, y: b.fcmp_ordered("<", x, y), 2)
choose = operation("f32", lambda b, mask, x, y: b.select(mask, x, y), 3)
swap_pairs = operation(  # lanes 1, 0, 3, 2, ...
    "f32",
    lambda b, x: b.shuffle_vector(
        x, x, ir.Constant(ir.VectorType(I32, LANES), [n ^ 1 for n in range(LANES)])
    ),
    1,
)

# integers
add_int = operation("i32", method("add"), 2)
subtract_int = operation("i32", method("sub"), 2)
multiply_int = operation("i32", method("mul"), 2)
and_int = operation("i32", method("and_"), 2)
or_int = operation("i32", method("or_"), 2)
shift_left = operation("i32", method("shl"), 2)
shift_right = operation("i32", method("lshr"), 2)
shift_right_signed = operation("i32", method("ashr"), 2)
to_int = operation("i32", lambda b, x: b.fptosi(x, register("i32")), 1)

# 64 bytes; bits move within each byte
as_bytes = operation("u8", lambda b, x: b.bitcast(x, register("u8")), 1)
or_bytes = operation("u8", method("or_"), 2)
low_nibbles = operation("u8", lambda b, x: b.and_(x, constant("u8", 15)), 1)
high_nibbles = operation("u8", lambda b, x: b.lshr(x, constant("u8", 4)), 1)
flip_signs = operation("u8", lambda b, x: b.xor(x, constant("u8", 128)), 1)


# memory


def _at(builder, address, element, offset=None):
    if offset is not None:
        address = builder.add(address, offset)
    return builder.inttoptr(address, element.as_pointer())


def _load(kind, element, widen=None):
    """load(address): 16 neighbours in memory, or 64 bytes; at each address of panels."""

    @intrinsic
    def load(context, address):
        panels = getattr(address, "panels", 1)

        def code(context, builder, signature, arguments):
            lanes, parts = ir.VectorType(element, ELEMENTS[kind][1]), []
            for n in range(panels):
                one = builder.extract_value(arguments[0], n) if panels > 1 else arguments[0]
                raw = builder.load(_at(builder, one, lanes), align=1)
                parts.append(widen(builder, raw) if widen else raw)
            return gathered(builder, parts)

        return Vec(kind, 1, panels)(address), code

    return load


def prefetch(size):
    """An intrinsic (panels, rows, offset): asks for so many bytes of each panel, to be read soon.

    For a single row only: a tile's panels have just been read for the tile before.
    """

    @intrinsic
    def ask(context, panels, rows, offset):
        lines = -(-size // 64) if rows.count == 1 else 0

        def code(context, builder, signature, arguments):
            flags = [ir.Constant(I32, flag) for flag in (0, 3, 1)]  # to be read, often, as data
            for n in range(panels.panels):
                start = builder.add(builder.extract_value(arguments[0], n), arguments[2])
                for line in range(lines):
                    place = _at(builder, start, I8, ir.Constant(I64, 64 * line))
                    call(builder, "llvm.prefetch.p0", ir.VoidType(), place, *flags)
            return context.get_dummy_value()

        return types.void(panels, rows, types.int64), code

    return ask


@intrinsic
def store_panels(context, panels, value):
    """Each panel's only register to its address."""

    def code(context, builder, signature, arguments):
        for n in range(panels.panels):
            part = builder.extract_value(arguments[1], n)
            place = _at(builder, builder.extract_value(arguments[0], n), part.type)
            builder.store(part, place, align=1)
        return context.get_dummy_value()

    return types.void(panels, value), code


@intrinsic
def store_tile(context, address, value):
    """All registers of a tile, one after the other."""

    def code(context, builder, signature, arguments):
        for n in range(value.count * value.panels):
            part, offset = builder.extract_value(arguments[1], n), ir.Constant(I64, 64 * n)
            builder.store(part, _at(builder, arguments[0], part.type, offset), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, value), code


@intrinsic
def load_tile(context, w, x, address):
    """The registers that store_tile left, for these panels and rows."""
    panels, count = shape_of([w, x])

    def code(context, builder, signature, arguments):
        places = [ir.Constant(I64, 64 * n) for n in range(panels * count)]
        pointers = [_at(builder, arguments[2], register("f32"), place) for place in places]
        return gathered(builder, [builder.load(pointer, align=1) for pointer in pointers])

    return Vec("f32", count, panels)(w, x, types.int64), code


def _half(number):
    """The registers of one panel of two."""

    @intrinsic
    def half(context, value):
        def code(context, builder, signature, arguments):
            places = range(number * value.count, (number + 1) * value.count)
            return gathered(builder, [builder.extract_value(arguments[0], n) for n in places])

        return Vec(value.kind, value.count)(value), code

    return half


first_panel, second_panel = _half(0), _half(1)


load_bytes = _load("u8", I8)
load_i32 = _load("i32", I32)
load_u8 = _load("i32", I8, lambda b, x: b.zext(x, register("i32")))
load_u16 = _load("i32", I16, lambda b, x: b.zext(x, register("i32")))
load_i8 = _load("i32", I8, lambda b, x: b.sext(x, register("i32")))
load_f32 = _load("f32", FLOAT)
load_f16 = _load("f32", I16, widen_half)
load_bf16 = _load("f32", I16, widen_bf16)


def _broadcast(kind, element):
    """(rows, offset): the element at each row's offset, in every lane."""

    @intrinsic
    def broadcast(context, rows, offset):
        def code(context, builder, signature, arguments):
            addresses, offset = arguments
            parts = []
            for n in range(rows.count):
                place = _at(builder, builder.extract_value(addresses, n), element, offset)
                parts.append(splat(builder, builder.load(place, align=1), kind))
            return gathered(builder, parts)

        return Vec(kind, rows.count)(rows, types.int64), code

    return broadcast


broadcast_i32 = _broadcast("i32", I32)
broadcast_f32 = _broadcast("f32", FLOAT)


@intrinsic
def load_rows(context, rows, offset):
    """16 floats from each row."""

    def code(context, builder, signature, arguments):
        addresses, offset = arguments
        parts = []
        for n in range(rows.count):
            place = _at(builder, builder.extract_value(addresses, n), register("f32"), offset)
            parts.append(builder.load(place, align=1))
        return gathered(builder, parts)

    return Vec("f32", rows.count)(rows, types.int64), code


def _store(narrow=None):
    """(address, value): the only register of a value to memory."""

    @intrinsic
    def store(context, address, value):
        def code(context, builder, signature, arguments):
            part = builder.extract_value(arguments[1], 0)
            part = narrow(builder, part) if narrow else part
            builder.store(part, _at(builder, arguments[0], part.type), align=1)
            return context.get_dummy_value()

        return types.void(types.int64, value), code

    return store


store = _store()
store_f16 = _store(narrow_half)
store_i8 = _store(lambda b, x: b.trunc(x, ir.VectorType(I8, LANES)))


def _lanes_below(builder, count):
    """The mask of the first `count` lanes."""
    numbers = ir.Constant(register("i32"), list(range(LANES)))
    return builder.icmp_signed("<", numbers, splat(builder, builder.trunc(count, I32), "i32"))


def _store_some(builder, value, address, mask):
    place, value = _at(builder, address, register("f32")), builder.bitcast(value, register("f32"))
    one, name = ir.Constant(I32, 1), "llvm.masked.store.v16f32.p0"
    call(builder, name, ir.VoidType(), value, place, one, mask)


@intrinsic
def store_rows(context, rows, offset, value, count):
    """The first `count` lanes of each register to its row."""

    def code(context, builder, signature, arguments):
        addresses, offset, value, count = arguments
        full = builder.icmp_signed(">=", count, ir.Constant(I64, LANES))
        mask = _lanes_below(builder, count)
        for n in range(rows.count):
            part = builder.extract_value(value, n)
            address = builder.add(builder.extract_value(addresses, n), offset)
            with builder.if_else(full, likely=True) as (all_of_it, some_of_it):
                with all_of_it:
                    builder.store(part, _at(builder, address, part.type), align=1)
                with some_of_it:
                    _store_some(builder, part, address, mask)
        return context.get_dummy_value()

    return types.void(rows, types.int64, value, types.int64), code


@intrinsic
def store_some(context, address, value, count):
    """The first `count` lanes of the only register of a value."""

    def code(context, builder, signature, arguments):
        address, value, count = arguments
        part = builder.extract_value(value, 0)
        _store_some(builder, part, address, _lanes_below(builder, count))
        return context.get_dummy_value()

    return types.void(types.int64, value, types.int64), code


@intrinsic
def load_some(context, address, count):
    """The first `count` of 16 floats; the other lanes are zero, and their memory is not touched."""

    def code(context, builder, signature, arguments):
        address, count = arguments
        place, none = _at(builder, address, register("f32")), constant("f32", 0.0)
        mask = _lanes_below(builder, count)
        one, kind = ir.Constant(I32, 1), register("f32")
        loaded = call(builder, "llvm.masked.load.v16f32.p0", kind, place, one, mask, none)
        return gathered(builder, [loaded])

    return FLOATS(types.int64, types.int64), code


# between lanes


def _reduce(combine):
    """One float from the only register of a value; pairs are combined in a fixed tree."""

    @intrinsic
    def reduce(context, value):
        def code(context, builder, signature, arguments):
            part = builder.extract_value(arguments[0], 0)
            width = LANES
            while width > 1:
                width //= 2
                halves = [
                    builder.shuffle_vector(
                        part, part, ir.Constant(ir.VectorType(I32, width), list(lanes))
                    )
                    for lanes in (range(width), range(width, 2 * width))
                ]
                part = combine(builder, *halves)
            return builder.extract_element(part, ir.Constant(I32, 0))

        return types.float32(FLOATS), code

    return reduce


reduce_add = _reduce(lambda b, x, y: b.fadd(x, y))
reduce_max = _reduce(lambda b, x, y: b.select(b.fcmp_ordered(">", x, y), x, y))


@intrinsic
def reduce_add_int(context, value):
    def code(context, builder, signature, arguments):
        part = builder.extract_value(arguments[0], 0)
        return builder.sext(call(builder, "llvm.vector.reduce.add.v16i32", I32, part), I64)

    return types.int64(INTS), code


@intrinsic
def zeros_like(context, rows):
    """A float register of zeros for each row."""

    def code(context, builder, signature, arguments):
        return gathered(builder, [constant("f32", 0.0)] * rows.count)

    return Vec("f32", rows.count)(rows), code


def _zeros(kind, value):
    """zeros(w, x): a register of zeros for each panel and row."""

    @intrinsic
    def zeros(context, w, x):
        panels, count = shape_of([w, x])

        def code(context, builder, signature, arguments):
            return gathered(builder, [constant(kind, value)] * (panels * count))

        return Vec(kind, count, panels)(w, x), code

    return zeros


zeros, int_zeros = _zeros("f32", 0.0), _zeros("i32", 0)


@intrinsic
def ramp(context):
    """0, 1, ... 15."""

    def code(context, builder, signature, arguments):
        return gathered(builder, [ir.Constant(register("i32"), list(range(LANES)))])

    return INTS(), code
