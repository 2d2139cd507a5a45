"""Half floats as IR: converted by the machine where it can, by integer arithmetic where it cannot.

Without such instructions LLVM would call functions of a compiler's runtime, which is not there.
Each function takes scalars and vectors: the bits of f16 or bf16 as i16, or f32.
"""

from llvmlite import ir

from ops.cpu.kernels.simd.compiler import target

I16, I32, HALF, FLOAT = ir.IntType(16), ir.IntType(32), ir.HalfType(), ir.FloatType()


def _like(value, element):
    """The element's type, as wide as the value."""
    if isinstance(value.type, ir.VectorType):
        return ir.VectorType(element, value.type.count)
    return element


def _all(value, element, number):
    kind = _like(value, element)
    if isinstance(kind, ir.VectorType):
        return ir.Constant(kind, [ir.Constant(element, number)] * kind.count)
    return ir.Constant(kind, number)


def _has_halves():
    return target().name != "generic" or target().processor == "generic"  # ARM always converts


def widen_bf16(builder, bits):
    wide = builder.shl(builder.zext(bits, _like(bits, I32)), _all(bits, I32, 16))
    return builder.bitcast(wide, _like(bits, FLOAT))


def widen_half(builder, bits):
    """f32 of the same value: 2^112 moves the exponent's bias, also of what was subnormal."""
    if _has_halves():
        return builder.fpext(builder.bitcast(bits, _like(bits, HALF)), _like(bits, FLOAT))
    wide = builder.zext(bits, _like(bits, I32))

    def number(n):
        return _all(bits, I32, n)

    sign = builder.shl(builder.and_(wide, number(0x8000)), number(16))
    rest = builder.shl(builder.and_(wide, number(0x7FFF)), number(13))
    scaled = builder.fmul(builder.bitcast(rest, _like(bits, FLOAT)), _all(bits, FLOAT, 2.0**112))
    finite = builder.bitcast(scaled, wide.type)
    special = builder.icmp_unsigned(">=", rest, number(0x7C00 << 13))  # infinite, or no number
    magnitude = builder.select(special, builder.or_(rest, number(0x7F800000)), finite)
    return builder.bitcast(builder.or_(sign, magnitude), _like(bits, FLOAT))


def narrow_half(builder, value):
    """The bits of the nearest f16, to even on a tie, as i16."""
    if _has_halves():
        return builder.bitcast(builder.fptrunc(value, _like(value, HALF)), _like(value, I16))
    bits = builder.bitcast(value, _like(value, I32))

    def number(n):
        return _all(value, I32, n)

    sign = builder.lshr(builder.and_(bits, number(0x80000000)), number(16))
    rest = builder.and_(bits, number(0x7FFFFFFF))
    # below 2^-14: adding 1/2 lets the machine round at the last bit of a subnormal half
    tiny = builder.fadd(builder.bitcast(rest, value.type), _all(value, FLOAT, 0.5))
    small = builder.sub(builder.bitcast(tiny, bits.type), number(0x3F000000))
    odd = builder.and_(builder.lshr(rest, number(13)), number(1))
    moved = builder.add(builder.sub(rest, number(112 << 23)), builder.add(number(0xFFF), odd))
    usual = builder.lshr(moved, number(13))
    magnitude = builder.select(builder.icmp_unsigned("<", rest, number(0x38800000)), small, usual)
    huge = builder.icmp_unsigned(">=", rest, number(0x477FF000))  # rounds beyond 65504
    magnitude = builder.select(huge, number(0x7C00), magnitude)
    nothing = builder.icmp_unsigned(">", rest, number(0x7F800000))
    magnitude = builder.select(nothing, number(0x7E00), magnitude)
    return builder.trunc(builder.or_(sign, magnitude), _like(value, I16))
