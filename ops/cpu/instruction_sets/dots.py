"""Dot products of bytes without an instruction for them."""

from llvmlite import ir

from ops.cpu.instruction_sets.llvm import I16, constant, register
from ops.cpu.instruction_sets.rung import Builder, Value

Pair = tuple[Value, Value]  # of weights and activations


def even_and_odd(builder: Builder, weights: Value, x: Value) -> tuple[Pair, Pair]:
    """The bytes of each 16-bit word widened to words: even and odd, of weights and activations."""
    words = ir.VectorType(I16, weights.type.count // 2)
    w, x = builder.bitcast(weights, words), builder.bitcast(x, words)
    eight, low = ir.Constant(words, [8] * words.count), ir.Constant(words, [255] * words.count)
    even = builder.and_(w, low), builder.ashr(builder.shl(x, eight), eight)
    return even, (builder.lshr(w, eight), builder.ashr(x, eight))


def dot_by_words(builder: Builder, total: Value, weights: Value, x: Value) -> Value:
    """Every product fits into 16 bits: 255 · 128 < 2^15."""
    sixteen = constant("i32", 16)
    for pair in even_and_odd(builder, weights, x):
        products = builder.bitcast(builder.mul(*pair), register("i32"))
        low = builder.ashr(builder.shl(products, sixteen), sixteen)
        total = builder.add(builder.add(total, low), builder.ashr(products, sixteen))
    return total
