"""Loads, stores, atomics and calls on plain addresses: what all kernels are made of."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
HALF, FLOAT, DOUBLE = ir.HalfType(), ir.FloatType(), ir.DoubleType()


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


def _bf16(builder, value):
    bits = builder.shl(builder.zext(value, I32), ir.Constant(I32, 16))
    return builder.bitcast(bits, FLOAT)


def _nibble(shift):
    def widen(builder, value):
        part = builder.and_(builder.lshr(value, ir.Constant(I8, shift)), ir.Constant(I8, 15))
        return builder.uitofp(part, FLOAT)

    return widen


# load(address, index of the element) -> value
load_f32 = _load(FLOAT, types.float32, _as_is)
load_f64 = _load(DOUBLE, types.float64, _as_is)
load_f16 = _load(HALF, types.float32, lambda b, v: b.fpext(v, FLOAT))
load_bf16 = _load(ir.IntType(16), types.float32, _bf16)
load_i64 = _load(I64, types.int64, _as_is)
load_i32 = _load(I32, types.int64, lambda b, v: b.sext(v, I64))
load_u16 = _load(ir.IntType(16), types.int64, lambda b, v: b.zext(v, I64))
load_u32 = _load(I32, types.int64, lambda b, v: b.zext(v, I64))
load_u8 = _load(I8, types.int64, lambda b, v: b.zext(v, I64))
load_i8 = _load(I8, types.int64, lambda b, v: b.sext(v, I64))
low_nibble = _load(I8, types.float32, _nibble(0))
high_nibble = _load(I8, types.float32, _nibble(4))

# store(address, index, value)
store_f32 = _store(FLOAT, types.float32, _as_is)
store_f16 = _store(HALF, types.float32, lambda b, v: b.fptrunc(v, HALF))
store_i32 = _store(I32, types.int64, lambda b, v: b.trunc(v, I32))


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
def compiler_fence(typing_context):
    """A full fence: cheap next to the pause it replaces on machines without one."""

    def code(context, builder, signature, arguments):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), code
