"""Conversions between f32 and half floats: by the machine's instruction, or by integers.

Without such an instruction LLVM would call functions of a compiler's runtime, which is not there.
Each takes scalars and vectors; half floats are their bits, as i16.
"""

from typing import Any

from llvmlite import ir

from ops.cpu.instruction_sets.llvm import FLOAT, HALF, I16, I32
from ops.cpu.instruction_sets.rung import Builder, Value


def _like(value: Value, element: Any) -> Any:
    """The element type, in as many lanes as the value has."""
    if isinstance(value.type, ir.VectorType):
        return ir.VectorType(element, value.type.count)
    return element


def _all(value: Value, element: Any, number: float) -> Value:
    """The number in as many lanes as the value has."""
    kind = _like(value, element)
    if isinstance(kind, ir.VectorType):
        return ir.Constant(kind, [ir.Constant(element, number)] * kind.count)
    return ir.Constant(kind, number)


def widen_bf16(builder: Builder, bits: Value) -> Value:
    wide = builder.shl(builder.zext(bits, _like(bits, I32)), _all(bits, I32, 16))
    return builder.bitcast(wide, _like(bits, FLOAT))


def narrow_bf16(builder: Builder, value: Value) -> Value:
    """Rounds to nearest, ties to even; a NaN keeps its sign and gets its quiet bit set."""
    bits, sixteen = builder.bitcast(value, _like(value, I32)), _all(value, I32, 16)
    upper = builder.lshr(bits, sixteen)
    last = builder.and_(upper, _all(value, I32, 1))
    grown = builder.add(builder.add(bits, _all(value, I32, 0x7FFF)), last)
    quiet = builder.or_(upper, _all(value, I32, 0x40))
    is_nan = builder.fcmp_unordered("uno", value, value)
    chosen = builder.select(is_nan, quiet, builder.lshr(grown, sixteen))
    return builder.trunc(chosen, _like(value, I16))


def widen_by_instruction(builder: Builder, bits: Value) -> Value:
    return builder.fpext(builder.bitcast(bits, _like(bits, HALF)), _like(bits, FLOAT))


def narrow_by_instruction(builder: Builder, value: Value) -> Value:
    return builder.bitcast(builder.fptrunc(value, _like(value, HALF)), _like(value, I16))


def widen_by_integers(builder: Builder, bits: Value) -> Value:
    """A factor of 2^112 corrects the exponent's bias, of subnormal numbers too."""
    wide = builder.zext(bits, _like(bits, I32))

    def number(n: int) -> Value:
        return _all(bits, I32, n)

    sign = builder.shl(builder.and_(wide, number(0x8000)), number(16))
    rest = builder.shl(builder.and_(wide, number(0x7FFF)), number(13))
    scaled = builder.fmul(builder.bitcast(rest, _like(bits, FLOAT)), _all(bits, FLOAT, 2.0**112))
    finite = builder.bitcast(scaled, wide.type)
    special = builder.icmp_unsigned(">=", rest, number(0x7C00 << 13))  # infinity or NaN
    magnitude = builder.select(special, builder.or_(rest, number(0x7F800000)), finite)
    return builder.bitcast(builder.or_(sign, magnitude), _like(bits, FLOAT))


def narrow_by_integers(builder: Builder, value: Value) -> Value:
    """Rounds to nearest, ties to even."""
    bits = builder.bitcast(value, _like(value, I32))

    def number(n: int) -> Value:
        return _all(value, I32, n)

    sign = builder.lshr(builder.and_(bits, number(0x80000000)), number(16))
    rest = builder.and_(bits, number(0x7FFFFFFF))
    # below 2^-14: adding 1/2 lets the machine round at the last bit of a subnormal half
    tiny = builder.fadd(builder.bitcast(rest, value.type), _all(value, FLOAT, 0.5))
    subnormal = builder.sub(builder.bitcast(tiny, bits.type), number(0x3F000000))
    odd = builder.and_(builder.lshr(rest, number(13)), number(1))
    moved = builder.add(builder.sub(rest, number(112 << 23)), builder.add(number(0xFFF), odd))
    normal = builder.lshr(moved, number(13))
    is_small = builder.icmp_unsigned("<", rest, number(0x38800000))
    magnitude = builder.select(is_small, subnormal, normal)
    is_large = builder.icmp_unsigned(">=", rest, number(0x477FF000))  # rounds beyond 65504
    magnitude = builder.select(is_large, number(0x7C00), magnitude)
    is_nan = builder.icmp_unsigned(">", rest, number(0x7F800000))
    magnitude = builder.select(is_nan, number(0x7E00), magnitude)
    return builder.trunc(builder.or_(sign, magnitude), _like(value, I16))
