"""Loads, stores, atomics and calls on plain addresses."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ops.cpu.instruction_sets.halves import narrow_bf16, widen_bf16
from ops.cpu.instruction_sets.llvm import (
    FLOAT,
    I8,
    I16,
    I32,
    I64,
    LANES,
    constant,
    lane_numbers,
    pointer,
    register,
    splat,
)
from ops.cpu.kernels.simd.compiler import device, narrow_half, target, widen_half
from ops.cpu.kernels.simd.registers import as_is
from ops.cpu.layout import HEADER_BYTES

BYTES, FLOATS = ir.VectorType(I8, LANES), register("f32")


def _element(builder, address, index, kind):
    return builder.gep(pointer(builder, address, kind), [index])


def _load(element, result, widen):
    @intrinsic
    def load(typing_context, address, index):
        def code(context, builder, signature, arguments):
            value = builder.load(_element(builder, *arguments, element), align=1)
            return widen(builder, value)

        return result(types.int64, types.int64), code

    return load


def _store(element, value_type, narrow):
    @intrinsic
    def store(typing_context, address, index, value):
        def code(context, builder, signature, arguments):
            *place, value = arguments
            builder.store(narrow(builder, value), _element(builder, *place, element), align=1)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, value_type), code

    return store


# load(address, index of the element) -> value
load_f32 = _load(FLOAT, types.float32, as_is)
load_f64 = _load(ir.DoubleType(), types.float64, as_is)
load_f16 = _load(I16, types.float32, widen_half)
load_bf16 = _load(I16, types.float32, widen_bf16)
load_i64 = _load(I64, types.int64, as_is)
load_i32 = _load(I32, types.int64, lambda b, v: b.sext(v, I64))
load_u16 = _load(I16, types.int64, lambda b, v: b.zext(v, I64))
load_u32 = _load(I32, types.int64, lambda b, v: b.zext(v, I64))
load_u8 = _load(I8, types.int64, lambda b, v: b.zext(v, I64))
load_i8 = _load(I8, types.int64, lambda b, v: b.sext(v, I64))

# store(address, index, value)
store_f32 = _store(FLOAT, types.float32, as_is)
store_f16 = _store(I16, types.float32, narrow_half)
store_bf16 = _store(I16, types.float32, narrow_bf16)
store_i32 = _store(I32, types.int64, lambda b, v: b.trunc(v, I32))
store_u16 = _store(I16, types.int64, lambda b, v: b.trunc(v, I16))
store_u8 = _store(I8, types.int64, lambda b, v: b.trunc(v, I8))


def _load_bytes(builder, source):
    return builder.load(pointer(builder, source, BYTES), align=1)


def _put_weights(builder, out, q, scale, offset):
    """scale · q + offset in 16 lanes."""
    product = builder.fmul(q, splat(builder, scale))
    values = builder.fadd(product, splat(builder, offset))
    builder.store(values, pointer(builder, out, FLOATS), align=4)


def _spread(unpack):
    """16 weights at once: out[i] = scale · unpack(16 bytes)[i] + offset."""

    @intrinsic
    def spread(typing_context, source, out, scale, offset):
        def code(context, builder, signature, arguments):
            source, out, scale, offset = arguments
            q = unpack(builder, _load_bytes(builder, source))
            _put_weights(builder, out, q, scale, offset)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.float32, types.float32), code

    return spread


def _low_nibbles(builder, raw):
    return builder.uitofp(builder.and_(raw, BYTES([15] * LANES)), FLOATS)


def _high_nibbles(builder, raw):
    return builder.uitofp(builder.lshr(raw, BYTES([4] * LANES)), FLOATS)


# spread(source, out, scale, offset)
spread_low = _spread(_low_nibbles)
spread_high = _spread(_high_nibbles)
spread_i8 = _spread(lambda builder, raw: builder.sitofp(raw, FLOATS))


@intrinsic
def spread_bits(typing_context, low, low_shift, width, high, high_shift, high_mask, out, s, m):
    """16 weights s · q + m: q is `width` bits of the low bytes under masked high bits."""

    def code(context, builder, signature, arguments):
        low, low_shift, width, high, high_shift, high_mask, out, scale, offset = arguments

        def every(value):
            return splat(builder, builder.trunc(value, I8))

        def bits(source, shift, mask):
            moved = builder.lshr(_load_bytes(builder, source), every(shift))
            return builder.and_(moved, every(mask))

        low_mask = builder.sub(builder.shl(I64(1), width), I64(1))
        low_part, high_part = bits(low, low_shift, low_mask), bits(high, high_shift, high_mask)
        q = builder.or_(low_part, builder.shl(high_part, every(width)))
        _put_weights(builder, out, builder.uitofp(q, FLOATS), scale, offset)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7, types.float32, types.float32), code


@intrinsic
def spread_fifths(typing_context, source, shift, fifths, out, scale, offset):
    """16 weights scale · q + offset: q is four bits of a byte under bit i of `fifths`."""

    def code(context, builder, signature, arguments):
        source, shift, fifths, out, scale, offset = arguments

        def every(value):
            return splat(builder, builder.trunc(value, I32))

        raw = builder.zext(_load_bytes(builder, source), register("i32"))
        low = builder.and_(builder.lshr(raw, every(shift)), constant("i32", 15))
        bits = builder.and_(builder.lshr(every(fifths), lane_numbers()), constant("i32", 1))
        q = builder.or_(low, builder.shl(bits, constant("i32", 4)))
        _put_weights(builder, out, builder.sitofp(q, FLOATS), scale, offset)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4, types.float32, types.float32), code


@intrinsic
def bits_to_f32(typing_context, bits):
    """The float whose bit pattern is the low half of an int64."""

    def code(context, builder, signature, arguments):
        return builder.bitcast(builder.trunc(arguments[0], I32), FLOAT)

    return types.float32(types.int64), code


@intrinsic
def half_to_f32(typing_context, bits):
    """The f16 whose bit pattern is the low quarter of an int64."""

    def code(context, builder, signature, arguments):
        return widen_half(builder, builder.trunc(arguments[0], I16))

    return types.float32(types.int64), code


@intrinsic
def call_kernel(typing_context, function, operands, step, thread, threads):
    """Calls a kernel by its address."""

    def code(context, builder, signature, arguments):
        signature = ir.FunctionType(ir.VoidType(), [I64] * 4)
        builder.call(pointer(builder, arguments[0], signature), arguments[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), code


@intrinsic
def call_c(typing_context, function, a, b, c, d):
    """Calls a C function by its address with four integers (the rest of six are zero)."""

    def code(context, builder, signature, arguments):
        signature = ir.FunctionType(I64, [I64] * 6)
        place = pointer(builder, arguments[0], signature)
        return builder.call(place, [*arguments[1:], I64(0), I64(0)])

    return types.int64(*[types.int64] * 5), code


@intrinsic
def atomic_add(typing_context, address, value):
    """Adds to the int32 at the address; returns its value before."""

    def code(context, builder, signature, arguments):
        place = pointer(builder, arguments[0], I32)
        value = builder.trunc(arguments[1], I32)
        return builder.sext(builder.atomic_rmw("add", place, value, "acq_rel"), I64)

    return types.int64(types.int64, types.int64), code


@intrinsic
def atomic_load(typing_context, address):
    def code(context, builder, signature, arguments):
        place = pointer(builder, arguments[0], I32)
        return builder.sext(builder.load_atomic(place, "acquire", 4), I64)

    return types.int64(types.int64), code


@intrinsic
def atomic_store(typing_context, address, value):
    def code(context, builder, signature, arguments):
        place = pointer(builder, arguments[0], I32)
        builder.store_atomic(builder.trunc(arguments[1], I32), place, "release", 4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), code


@intrinsic
def pause(typing_context):
    """Tells the core that this thread only waits."""

    def code(context, builder, signature, arguments):
        target().pause(builder)
        return context.get_dummy_value()

    return types.void(), code


@intrinsic
def claim(typing_context, operands, amount):
    """Claims the next `amount` parts of an operator's work; returns the first of them."""

    def code(context, builder, signature, arguments):
        operands, amount = arguments
        counter = builder.sub(operands, I64(HEADER_BYTES))
        place = pointer(builder, counter, I32)
        taken = builder.atomic_rmw("add", place, builder.trunc(amount, I32), "monotonic")
        return builder.sext(taken, I64)

    return types.int64(types.int64, types.int64), code


@device
def parts_of(total, size):
    """The number of parts of this size in the total; the last one may be smaller."""
    return (total + size - 1) // size


PARTS_PER_THREAD = 8  # fewer balance the load worse, more cost atomic additions


@device
def part_size(total, threads):
    """How many of an operator's parts a thread claims at once."""
    return max(1, total // (PARTS_PER_THREAD * threads))


@device
def claim_range(op, total, threads):
    """Claims some of an operator's parts: the first of them and the one behind the last.

    Each thread in its turn claims half of its share of what is left: so threads read long stretches
    of memory and yet end together. None are left if the first is the total.
    """
    number, first, size = claim(op, 1), 0, max(1, total // (2 * threads))
    while number >= threads and first < total:
        number, first = number - threads, first + size * threads
        size = max(1, (total - first) // (2 * threads))
    first = min(first + size * number, total)
    return first, min(first + size, total)
