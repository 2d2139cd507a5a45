"""Dot products of bytes, and tables of bytes: the instructions in which the rungs differ.

Each 32-bit lane of a sum gains four products of unsigned weights and signed activations.
"""

from llvmlite import ir

from ops.cpu.kernels.simd.compiler import target
from ops.cpu.kernels.simd.registers import I8, I16, call, constant, operation, register, shuffled


def lookup(table):
    """Each byte 0 .. 15 replaced by the table's entry."""

    def emit(builder, x):
        sixteen = ir.VectorType(I8, 16)
        entries = ir.Constant(sixteen, list(table))
        name = target().name
        if name == "generic":
            return _lookup_by_choice(builder, x, table)
        parts = {"avx512": 1, "avxvnni": 2, "avx2": 2, "dotprod": 4}[name]
        width = 64 // parts
        function = {64: "avx512.pshuf.b.512", 32: "avx2.pshuf.b", 16: "neon.tbl1.v16i8"}[width]
        whole = shuffled(builder, entries, entries, list(range(16)) * (width // 16))
        family = "aarch64" if width == 16 else "x86"
        return _by_parts(
            builder,
            parts,
            lambda part: call(builder, f"llvm.{family}.{function}", part.type, whole, part),
            x,
        )

    return operation("u8", emit, 1)


def _lookup_by_choice(builder, x, table):
    result = constant("u8", table[0])
    for index, entry in enumerate(table[1:], 1):
        same = builder.icmp_unsigned("==", x, constant("u8", index))
        result = builder.select(same, constant("u8", entry), result)
    return result


def _by_parts(builder, parts, emit, *operands):
    """Cuts every operand into as many parts, and puts the results together again."""
    pieces = []
    for n in range(parts):
        cut = []
        for operand in operands:
            width = operand.type.count // parts
            cut.append(shuffled(builder, operand, operand, range(n * width, (n + 1) * width)))
        pieces.append(emit(*cut))
    while len(pieces) > 1:
        both = range(2 * pieces[0].type.count)
        pairs = zip(pieces[::2], pieces[1::2], strict=True)
        pieces = [shuffled(builder, first, second, both) for first, second in pairs]
    return pieces[0]


def _dot_512(builder, total, weights, x):
    return call(builder, "llvm.x86.avx512.vpdpbusd.512", total.type, total, weights, x)


def _dot_256(builder, total, weights, x):
    return _by_parts(
        builder,
        2,
        lambda t, w, x: call(builder, "llvm.x86.avx512.vpdpbusd.256", t.type, t, w, x),
        total,
        weights,
        x,
    )


def _dot_avx2_small(builder, total, weights, x):
    """Sums of two products stay below 2^15 for weights below 128."""
    words, ones = ir.VectorType(I16, 16), ir.Constant(ir.VectorType(I16, 16), [1] * 16)

    def part(t, w, x):
        pairs = call(builder, "llvm.x86.avx2.pmadd.ub.sw", words, w, x)
        return builder.add(t, call(builder, "llvm.x86.avx2.pmadd.wd", t.type, pairs, ones))

    return _by_parts(builder, 2, part, total, weights, x)


def _even_and_odd(builder, weights, x):
    """The bytes of each 16-bit word widened to words: even and odd, of weights and activations."""
    words = ir.VectorType(I16, weights.type.count // 2)
    w, x = builder.bitcast(weights, words), builder.bitcast(x, words)
    eight, low = ir.Constant(words, [8] * words.count), ir.Constant(words, [255] * words.count)
    even = builder.and_(w, low), builder.ashr(builder.shl(x, eight), eight)
    return even, (builder.lshr(w, eight), builder.ashr(x, eight))


def _dot_avx2(builder, total, weights, x):
    def part(t, w, x):
        for pair in _even_and_odd(builder, w, x):
            t = builder.add(t, call(builder, "llvm.x86.avx2.pmadd.wd", t.type, *pair))
        return t

    return _by_parts(builder, 2, part, total, weights, x)


def _dot_plain(builder, total, weights, x):
    """Every product fits into 16 bits: 255 · 128 < 2^15."""
    sixteen = constant("i32", 16)
    for pair in _even_and_odd(builder, weights, x):
        products = builder.bitcast(builder.mul(*pair), register("i32"))
        low = builder.ashr(builder.shl(products, sixteen), sixteen)
        total = builder.add(builder.add(total, low), builder.ashr(products, sixteen))
    return total


def _dot_arm_small(builder, total, weights, x):
    def part(t, w, x):
        return call(builder, "llvm.aarch64.neon.sdot.v4i32.v16i8", t.type, t, w, x)

    return _by_parts(builder, 4, part, total, weights, x)


def _dot_arm(builder, total, weights, x):
    """w = (w - 128) - (-128): both factors fit into signed bytes."""
    signed = builder.xor(weights, constant("u8", 128))
    total = _dot_arm_small(builder, total, signed, x)
    zero = constant("i32", 0)
    return builder.sub(total, _dot_arm_small(builder, zero, constant("u8", 128), x))


DOTS = {"avx512": _dot_512, "avxvnni": _dot_256, "avx2": _dot_avx2, "dotprod": _dot_arm}
SMALL_DOTS = DOTS | {"avx2": _dot_avx2_small, "dotprod": _dot_arm_small}


def _dot(dots):
    def emit(builder, total, weights, x):
        x = builder.bitcast(x, register("u8"))
        return dots.get(target().name, _dot_plain)(builder, total, weights, x)

    return operation("i32", emit, 3)


dot = _dot(DOTS)  # (i32 totals, 64 weights of 0 .. 255, i32 lanes of 4 signed bytes)
dot_small = _dot(SMALL_DOTS)  # weights of 0 .. 127
