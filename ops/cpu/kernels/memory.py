"""Loads, stores, atomics and calls on plain addresses: what all kernels are made of."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ops.cpu.kernels.compiler import device, target
from ops.cpu.kernels.half import narrow_half, widen_bf16, widen_half
from ops.cpu.layout import HEADER_BYTES
from ops.cpu.rungs import LADDERS

I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
FLOAT, DOUBLE = ir.FloatType(), ir.DoubleType()
FLOATS = ir.VectorType(FLOAT, 16)


def _pointer(builder, address, index, element):
    return builder.gep(builder.inttoptr(address, element.as_pointer()), [index])


def _load(element, result, widen):
    @intrinsic
    def load(typing_context, address, index):
        def code(context, builder, signature, arguments):
            value = builder.load(_pointer(builder, *arguments, element), align=1)
            return widen(builder, value)

        return result(types.int64, types.int64), code

    return load


def _store(element, value_type, narrow):
    @intrinsic
    def store(typing_context, address, index, value):
        def code(context, builder, signature, arguments):
            *place, value = arguments
            builder.store(narrow(builder, value), _pointer(builder, *place, element), align=1)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, value_type), code

    return store


def _as_is(builder, value):
    return value


# load(address, index of the element) -> value
load_f32 = _load(FLOAT, types.float32, _as_is)
load_f64 = _load(DOUBLE, types.float64, _as_is)
load_f16 = _load(ir.IntType(16), types.float32, widen_half)
load_bf16 = _load(ir.IntType(16), types.float32, widen_bf16)
load_i64 = _load(I64, types.int64, _as_is)
load_i32 = _load(I32, types.int64, lambda b, v: b.sext(v, I64))
load_u16 = _load(ir.IntType(16), types.int64, lambda b, v: b.zext(v, I64))
load_u32 = _load(I32, types.int64, lambda b, v: b.zext(v, I64))
load_u8 = _load(I8, types.int64, lambda b, v: b.zext(v, I64))
load_i8 = _load(I8, types.int64, lambda b, v: b.sext(v, I64))

# store(address, index, value)
store_f32 = _store(FLOAT, types.float32, _as_is)
store_f16 = _store(ir.IntType(16), types.float32, narrow_half)
store_i32 = _store(I32, types.int64, lambda b, v: b.trunc(v, I32))
store_u16 = _store(ir.IntType(16), types.int64, lambda b, v: b.trunc(v, ir.IntType(16)))
store_u8 = _store(I8, types.int64, lambda b, v: b.trunc(v, I8))


def _spread(unpack):
    """16 weights at once: out[i] = scale · unpack(16 bytes)[i] + offset."""

    @intrinsic
    def spread(typing_context, source, out, scale, offset):
        def code(context, builder, signature, arguments):
            source, out, scale, offset = arguments
            sixteen = ir.VectorType(I8, 16)
            raw = builder.load(builder.inttoptr(source, sixteen.as_pointer()), align=1)
            product = builder.fmul(unpack(builder, raw), _everywhere(builder, scale))
            values = builder.fadd(product, _everywhere(builder, offset))
            builder.store(values, builder.inttoptr(out, FLOATS.as_pointer()), align=4)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.float32, types.float32), code

    return spread


def _everywhere(builder, value):
    first = builder.insert_element(ir.Constant(FLOATS, ir.Undefined), value, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(I32, 16), [0] * 16))


def _low_nibbles(builder, raw):
    return builder.uitofp(builder.and_(raw, ir.Constant(raw.type, [15] * 16)), FLOATS)


def _high_nibbles(builder, raw):
    return builder.uitofp(builder.lshr(raw, ir.Constant(raw.type, [4] * 16)), FLOATS)


# spread(source, out, scale, offset)
spread_low = _spread(_low_nibbles)
spread_high = _spread(_high_nibbles)
spread_i8 = _spread(lambda builder, raw: builder.sitofp(raw, FLOATS))


@intrinsic
def spread_bits(typing_context, low, low_shift, width, high, high_shift, high_mask, out, s, m):
    """16 weights s · q + m: q is `width` bits of the low bytes under masked high bits."""

    def code(context, builder, signature, arguments):
        low, low_shift, width, high, high_shift, high_mask, out, scale, offset = arguments
        sixteen = ir.VectorType(I8, 16)

        def every(value):
            first = ir.Constant(sixteen, ir.Undefined)
            first = builder.insert_element(first, builder.trunc(value, I8), ir.Constant(I32, 0))
            return builder.shuffle_vector(
                first, first, ir.Constant(ir.VectorType(I32, 16), [0] * 16)
            )

        def shifted(source, shift):
            raw = builder.load(builder.inttoptr(source, sixteen.as_pointer()), align=1)
            return builder.lshr(raw, every(shift))

        one = ir.Constant(I64, 1)
        low_mask = builder.sub(builder.shl(one, width), one)
        low_part = builder.and_(shifted(low, low_shift), every(low_mask))
        high_part = builder.and_(shifted(high, high_shift), every(high_mask))
        q = builder.or_(low_part, builder.shl(high_part, every(width)))
        product = builder.fmul(builder.uitofp(q, FLOATS), _everywhere(builder, scale))
        values = builder.fadd(product, _everywhere(builder, offset))
        builder.store(values, builder.inttoptr(out, FLOATS.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7, types.float32, types.float32), code


@intrinsic
def spread_fifths(typing_context, source, shift, fifths, out, scale, offset):
    """16 weights scale · q + offset: q is four bits of a byte under bit i of `fifths`."""

    def code(context, builder, signature, arguments):
        source, shift, fifths, out, scale, offset = arguments
        lanes = ir.VectorType(I32, 16)
        none = ir.Constant(lanes, ir.Undefined)

        def every(value):
            first = builder.insert_element(none, builder.trunc(value, I32), ir.Constant(I32, 0))
            return builder.shuffle_vector(first, none, ir.Constant(lanes, [0] * 16))

        pointer = builder.inttoptr(source, ir.VectorType(I8, 16).as_pointer())
        raw = builder.zext(builder.load(pointer, align=1), lanes)
        low = builder.and_(builder.lshr(raw, every(shift)), ir.Constant(lanes, [15] * 16))
        bits = builder.lshr(every(fifths), ir.Constant(lanes, list(range(16))))
        high = builder.shl(
            builder.and_(bits, ir.Constant(lanes, [1] * 16)), ir.Constant(lanes, [4] * 16)
        )
        values = builder.sitofp(builder.or_(low, high), FLOATS)
        product = builder.fmul(values, _everywhere(builder, scale))
        total = builder.fadd(product, _everywhere(builder, offset))
        builder.store(total, builder.inttoptr(out, FLOATS.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4, types.float32, types.float32), code


@intrinsic
def bits_to_f32(typing_context, bits):
    """The float whose bit pattern is the low half of an int64."""

    def code(context, builder, signature, arguments):
        return builder.bitcast(builder.trunc(arguments[0], I32), FLOAT)

    return types.float32(types.int64), code


@intrinsic
def call_kernel(typing_context, function, operands, step, thread, threads):
    """Calls a kernel by its address."""

    def code(context, builder, signature, arguments):
        signature = ir.FunctionType(ir.VoidType(), [I64] * 4)
        builder.call(builder.inttoptr(arguments[0], signature.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), code


@intrinsic
def call_c(typing_context, function, a, b, c, d):
    """Calls a C function by its address with four integers (the rest of six are zero)."""

    def code(context, builder, signature, arguments):
        signature = ir.FunctionType(I64, [I64] * 6)
        pointer = builder.inttoptr(arguments[0], signature.as_pointer())
        return builder.call(pointer, [*arguments[1:], ir.Constant(I64, 0), ir.Constant(I64, 0)])

    return types.int64(*[types.int64] * 5), code


@intrinsic
def atomic_add(typing_context, address, value):
    """Adds to the int32 at the address; gives what was there before."""

    def code(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], I32.as_pointer())
        value = builder.trunc(arguments[1], I32)
        return builder.sext(builder.atomic_rmw("add", pointer, value, "acq_rel"), I64)

    return types.int64(types.int64, types.int64), code


@intrinsic
def atomic_load(typing_context, address):
    def code(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], I32.as_pointer())
        return builder.sext(builder.load_atomic(pointer, "acquire", 4), I64)

    return types.int64(types.int64), code


@intrinsic
def atomic_store(typing_context, address, value):
    def code(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], I32.as_pointer())
        builder.store_atomic(builder.trunc(arguments[1], I32), pointer, "release", 4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), code


@intrinsic
def pause(typing_context):
    """Tells the core that this thread only waits; a fence where there is no such instruction."""

    def code(context, builder, signature, arguments):
        rungs = LADDERS["x86_64"], LADDERS["aarch64"]
        on_x86, on_arm = (target() in ladder for ladder in rungs)
        if on_x86:
            _hint(builder, "llvm.x86.sse2.pause")
        elif on_arm:
            _hint(builder, "llvm.aarch64.hint", ir.Constant(I32, 1))
        else:
            builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), code


def _hint(builder, name, *arguments):
    kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    builder.call(function, arguments)


@intrinsic
def claim(typing_context, operands, amount):
    """Takes the next `amount` parts of an operator's work; gives the first of them."""

    def code(context, builder, signature, arguments):
        operands, amount = arguments
        counter = builder.sub(operands, ir.Constant(I64, HEADER_BYTES))
        pointer = builder.inttoptr(counter, I32.as_pointer())
        taken = builder.atomic_rmw("add", pointer, builder.trunc(amount, I32), "monotonic")
        return builder.sext(taken, I64)

    return types.int64(types.int64, types.int64), code


PARTS_A_THREAD = 8  # fewer leave the last thread alone for long, more cost atomic additions


@device
def part_size(total, threads):
    """How many of an operator's parts a thread should take at once."""
    return max(1, total // (PARTS_A_THREAD * threads))
