"""Explicit SIMD in Numba: arithmetic on tiles of registers, across lanes, and memory accesses.

Nearly every intrinsic is one LLVM instruction. registers.py explains tiles.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ops.cpu.instruction_sets.halves import narrow_bf16, widen_bf16
from ops.cpu.instruction_sets.llvm import (
    ELEMENTS,
    FLOAT,
    I8,
    I16,
    I32,
    I64,
    LANES,
    call,
    constant,
    lane_numbers,
    pointer,
    register,
    shuffled,
    splat,
)
from ops.cpu.kernels.simd.compiler import narrow_half, target, widen_half
from ops.cpu.kernels.simd.registers import (
    FLOATS,
    INTS,
    Vec,
    as_is,
    each,
    gathered,
    method,
    operation,
    shape_of,
)
from ops.cpu.layout import LINE

# floats; a scalar operand is broadcast to all lanes
add = operation("f32", method("fadd"), 2)
subtract = operation("f32", method("fsub"), 2)
multiply = operation("f32", method("fmul"), 2)
divide = operation("f32", method("fdiv"), 2)


fma = operation("f32", lambda b, *operands: target().fma(b, *operands), 3)  # a·b + c
dot_bf16 = operation(  # (f32 totals, 16 pairs of weights and of activations as i32)
    "f32", lambda b, *operands: target().dot_bf16(b, *operands), 3
)
maximum = operation("f32", lambda b, x, y: b.select(b.fcmp_ordered(">", x, y), x, y), 2)
minimum = operation("f32", lambda b, x, y: b.select(b.fcmp_ordered("<", x, y), x, y), 2)
absolute = operation("f32", lambda b, x: call(b, "llvm.fabs.v16f32", x.type, x), 1)
rounded = operation("f32", lambda b, x: call(b, "llvm.rint.v16f32", x.type, x), 1)
to_float = operation("f32", lambda b, x: b.sitofp(x, register("f32")), 1)
float_bits = operation("i32", lambda b, x: b.bitcast(x, register("i32")), 1)
bits_to_float = operation("f32", lambda b, x: b.bitcast(x, register("f32")), 1)
half_to_float = operation(  # the f16 in the lower half of each word
    "f32",
    lambda b, x: widen_half(b, b.trunc(x, ir.VectorType(I16, LANES))),
    1,
)
less = operation("mask", lambda b, x, y: b.fcmp_ordered("<", x, y), 2)
choose = operation("f32", lambda b, mask, x, y: b.select(mask, x, y), 3)
swap_pairs = operation(  # lanes 1, 0, 3, 2, ...
    "f32",
    lambda b, x: shuffled(b, x, x, [n ^ 1 for n in range(LANES)]),
    1,
)

# integers
add_int = operation("i32", method("add"), 2)
subtract_int = operation("i32", method("sub"), 2)
multiply_int = operation("i32", method("mul"), 2)
and_int = operation("i32", method("and_"), 2)
or_int = operation("i32", method("or_"), 2)
xor_int = operation("i32", method("xor"), 2)
shift_left = operation("i32", method("shl"), 2)
shift_right = operation("i32", method("lshr"), 2)
shift_right_signed = operation("i32", method("ashr"), 2)
to_int = operation("i32", lambda b, x: b.fptosi(x, register("i32")), 1)


def _move(builder, words, first, to):
    rotate = target().rotate
    if rotate:
        return rotate(builder, words, builder.sub(first, to))
    return builder.shl(builder.lshr(words, first), to)


move_bits = operation("i32", _move, 3)
"""(words, first, to): the bits from `first` on move to `to`; what comes below and behind them is
arbitrary."""

# 64 bytes; bits move within each byte
as_bytes = operation("u8", lambda b, x: b.bitcast(x, register("u8")), 1)
as_words = operation("i32", lambda b, x: b.bitcast(x, register("i32")), 1)
or_bytes = operation("u8", method("or_"), 2)
low_nibbles = operation("u8", lambda b, x: b.and_(x, constant("u8", 15)), 1)
high_nibbles = operation("u8", lambda b, x: b.lshr(x, constant("u8", 4)), 1)
flip_signs = operation("u8", lambda b, x: b.xor(x, constant("u8", 128)), 1)


def subtract_from_bytes(number):
    """Each byte less the number, modulo 256."""
    return operation("u8", lambda b, x: b.sub(x, constant("u8", number)), 1)


# memory


def _loaded(builder, addresses, element, widen, offset=None):
    """A register loaded from each address."""
    places = [pointer(builder, address, element, offset) for address in each(builder, addresses)]
    return gathered(builder, [widen(builder, builder.load(place, align=1)) for place in places])


def _load(kind, element, widen=as_is):
    """load(address): 16 consecutive elements, or 64 bytes, from each address."""

    @intrinsic
    def load(context, address):
        def code(context, builder, signature, arguments):
            lanes = ir.VectorType(element, ELEMENTS[kind][1])
            return _loaded(builder, arguments[0], lanes, widen)

        panels, _ = shape_of([address])
        return Vec(kind, 1, panels)(address), code

    return load


load_bytes = _load("u8", I8)
load_i32 = _load("i32", I32)
load_u8 = _load("i32", I8, lambda b, x: b.zext(x, register("i32")))
load_u16 = _load("i32", I16, lambda b, x: b.zext(x, register("i32")))
load_i8 = _load("i32", I8, lambda b, x: b.sext(x, register("i32")))
load_f32 = _load("f32", FLOAT)
load_f16 = _load("f32", I16, widen_half)
load_bf16 = _load("f32", I16, widen_bf16)


def _load_from_rows(kind, element, widen=as_is):
    """load(rows, offset): a register loaded from each row at the offset."""

    @intrinsic
    def load(context, rows, offset):
        def code(context, builder, signature, arguments):
            addresses, offset = arguments
            return _loaded(builder, addresses, element, widen, offset)

        return Vec(kind, rows.count)(rows, types.int64), code

    return load


broadcast_i32 = _load_from_rows("i32", I32, splat)
broadcast_f32 = _load_from_rows("f32", FLOAT, splat)
load_rows = _load_from_rows("f32", register("f32"))


def _store(narrow=as_is):
    """store(address, value): each panel's register to its address."""

    @intrinsic
    def store(context, address, value):
        def code(context, builder, signature, arguments):
            addresses, parts = (each(builder, argument) for argument in arguments)
            for one, part in zip(addresses, parts, strict=True):
                narrowed = narrow(builder, part)
                builder.store(narrowed, pointer(builder, one, narrowed.type), align=1)
            return context.get_dummy_value()

        return types.void(address, value), code

    return store


store = _store()
store_f16 = _store(narrow_half)
store_bf16 = _store(narrow_bf16)
store_i8 = _store(lambda b, x: b.trunc(x, ir.VectorType(I8, LANES)))


def _lanes_below(builder, count):
    """The mask of the first `count` lanes."""
    return builder.icmp_signed("<", lane_numbers(), splat(builder, builder.trunc(count, I32)))


def _store_some(builder, value, address, mask):
    place = pointer(builder, address, register("f32"))
    value = builder.bitcast(value, register("f32"))
    call(builder, "llvm.masked.store.v16f32.p0", ir.VoidType(), value, place, I32(1), mask)


@intrinsic
def store_rows(context, rows, offset, value, count):
    """The first `count` lanes of each register to its row."""

    def code(context, builder, signature, arguments):
        addresses, offset, value, count = arguments
        full = builder.icmp_signed(">=", count, I64(LANES))
        mask = _lanes_below(builder, count)
        for address, part in zip(each(builder, addresses), each(builder, value), strict=True):
            address = builder.add(address, offset)
            with builder.if_else(full, likely=True) as (all_of_it, some_of_it):
                with all_of_it:
                    builder.store(part, pointer(builder, address, part.type), align=1)
                with some_of_it:
                    _store_some(builder, part, address, mask)
        return context.get_dummy_value()

    return types.void(rows, types.int64, value, types.int64), code


@intrinsic
def store_some(context, address, value, count):
    """The first `count` lanes of a single register."""

    def code(context, builder, signature, arguments):
        address, value, count = arguments
        [part] = each(builder, value)
        _store_some(builder, part, address, _lanes_below(builder, count))
        return context.get_dummy_value()

    return types.void(types.int64, value, types.int64), code


@intrinsic
def load_some(context, address, count):
    """The first `count` of 16 floats; the other lanes are zero, and their memory is not touched."""

    def code(context, builder, signature, arguments):
        address, count = arguments
        name, kind = "llvm.masked.load.v16f32.p0", register("f32")
        mask, none = _lanes_below(builder, count), constant("f32", 0.0)
        place = pointer(builder, address, kind)
        return gathered(builder, [call(builder, name, kind, place, I32(1), mask, none)])

    return FLOATS(types.int64, types.int64), code


def _prefetch(builder, address, size):
    flags = I32(0), I32(3), I32(1)  # to be read, often, as data
    for offset in range(0, size, LINE):
        place = pointer(builder, address, I8, I64(offset))
        call(builder, "llvm.prefetch.p0", ir.VoidType(), place, *flags)


def prefetch(size):
    """ask(address): prefetches `size` bytes; the address need not be valid."""

    @intrinsic
    def ask(context, address):
        def code(context, builder, signature, arguments):
            _prefetch(builder, arguments[0], size)
            return context.get_dummy_value()

        return types.void(types.int64), code

    return ask


def prefetch_panels(size):
    """ask(panels, offset): prefetches `size` bytes of each panel."""

    @intrinsic
    def ask(context, panels, offset):
        def code(context, builder, signature, arguments):
            for address in each(builder, arguments[0]):
                _prefetch(builder, builder.add(address, arguments[1]), size)
            return context.get_dummy_value()

        return types.void(panels, types.int64), code

    return ask


# across lanes and registers


def _reduced(builder, part, combine):
    """One number from a register; pairs are combined in a fixed tree."""
    width = LANES
    while width > 1:
        width //= 2
        halves = range(width), range(width, 2 * width)
        part = combine(builder, *(shuffled(builder, part, part, half) for half in halves))
    return builder.extract_element(part, I32(0))


def _reduce(combine):
    """One float from a single register."""

    @intrinsic
    def reduce(context, value):
        def code(context, builder, signature, arguments):
            [part] = each(builder, arguments[0])
            return _reduced(builder, part, combine)

        return types.float32(FLOATS), code

    return reduce


def _reduce_each(combine):
    """What `_reduce` gives of each register of a tile, in all of its lanes."""
    return operation("f32", lambda b, x: splat(b, _reduced(b, x, combine)), 1)


_sum, _largest = method("fadd"), lambda b, x, y: b.select(b.fcmp_ordered(">", x, y), x, y)
reduce_add, reduce_max = _reduce(_sum), _reduce(_largest)
each_sum, each_max = _reduce_each(_sum), _reduce_each(_largest)


@intrinsic
def add_rows(context, value):
    """The sum of a tile's registers; halves are added in a fixed tree."""

    def code(context, builder, signature, arguments):
        parts = each(builder, arguments[0])
        while len(parts) > 1:
            half = len(parts) // 2
            parts = [builder.fadd(parts[n], parts[half + n]) for n in range(half)]
        return gathered(builder, parts)

    return FLOATS(value), code


@intrinsic
def reduce_add_int(context, value):
    def code(context, builder, signature, arguments):
        [part] = each(builder, arguments[0])
        return builder.sext(call(builder, "llvm.vector.reduce.add.v16i32", I32, part), I64)

    return types.int64(INTS), code


def _panel(number):
    """The registers of one panel of two."""

    @intrinsic
    def panel(context, value):
        def code(context, builder, signature, arguments):
            start = number * value.count
            return gathered(builder, each(builder, arguments[0])[start : start + value.count])

        return Vec(value.kind, value.count)(value), code

    return panel


first_panel, second_panel = _panel(0), _panel(1)


# constants


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
        return gathered(builder, [lane_numbers()])

    return INTS(), code
