"""Explicit SIMD inside Numba: 16 lanes wide, and as many registers deep as tokens are computed.

A `Vec` is `count` registers of 16 lanes of 32 bits (or of 64 bytes). An operation works on each
register; where one operand has a single register, it meets every register of the other. So one
kernel source, written for one token, serves a tile of tokens. Operands in memory are addresses;
`Rows` is an address for each register. LLVM splits what is wider than the machine.

Nearly every intrinsic is one instruction of LLVM's; the dot product is the rung's own.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

from ops.cpu.kernels.compiler import device, target
from ops.cpu.kernels.half import narrow_half, widen_bf16, widen_half

LANES = 16
I1, I8, I16, I32, I64 = (ir.IntType(n) for n in (1, 8, 16, 32, 64))
FLOAT = ir.FloatType()
ELEMENTS = {"u8": (I8, 64), "i32": (I32, LANES), "f32": (FLOAT, LANES), "mask": (I1, LANES)}


class Vec(types.Type):
    """Registers of one kind: u8 (64 bytes), i32, f32, or the mask of a comparison."""

    def __init__(self, kind, count):
        self.kind, self.count = kind, count
        super().__init__(name=f"Vec({kind} x {count})")


class Rows(types.Type):
    """An address for each register."""

    def __init__(self, count):
        self.count = count
        super().__init__(name=f"Rows({count})")


def register(kind):
    """LLVM's type of one register."""
    return ir.VectorType(*ELEMENTS[kind])


@register_model(Vec)
class _VecModel(models.PrimitiveModel):
    def __init__(self, manager, vec):
        super().__init__(manager, vec, ir.ArrayType(register(vec.kind), vec.count))


@register_model(Rows)
class _RowsModel(models.PrimitiveModel):
    def __init__(self, manager, rows):
        super().__init__(manager, rows, ir.ArrayType(I64, rows.count))


BYTES, INTS, FLOATS = Vec("u8", 1), Vec("i32", 1), Vec("f32", 1)


def splat(builder, value, kind="f32"):
    """One scalar in every lane."""
    none = ir.Constant(register(kind), ir.Undefined)
    first = builder.insert_element(none, value, ir.Constant(I32, 0))
    lanes = ir.VectorType(I32, ELEMENTS[kind][1])
    return builder.shuffle_vector(first, none, ir.Constant(lanes, [0] * lanes.count))


def constant(kind, value):
    element, lanes = ELEMENTS[kind]
    return ir.Constant(ir.VectorType(element, lanes), [ir.Constant(element, value)] * lanes)


def call(builder, name, result, *operands):
    """An intrinsic function of LLVM's."""
    function = builder.module.globals.get(name)
    if function is None:
        kind = ir.FunctionType(result, [operand.type for operand in operands])
        function = ir.Function(builder.module, kind, name)
    return builder.call(function, operands)


def _registers(builder, value, count):
    """The registers of an operand, the only one `count` times; a scalar in every lane."""
    if not isinstance(value.type, ir.ArrayType):
        kind = "f32" if isinstance(value.type, ir.FloatType) else "i32"
        scalar = builder.trunc(value, I32) if value.type == I64 else value
        return [splat(builder, scalar, kind)] * count
    if value.type.count == 1:
        return [builder.extract_value(value, 0)] * count
    return [builder.extract_value(value, n) for n in range(count)]


def _gathered(builder, registers):
    result = ir.Constant(ir.ArrayType(registers[0].type, len(registers)), ir.Undefined)
    for n, part in enumerate(registers):
        result = builder.insert_value(result, part, n)
    return result


def _count(operands):
    return max(getattr(operand, "count", 1) for operand in operands)


def _operation(kind, emit, arity):
    """emit(builder, register...) for each register of its operands, giving one of a kind."""

    def signature_and_code(*operands):
        count = _count(operands)

        def code(context, builder, signature, arguments):
            columns = [_registers(builder, argument, count) for argument in arguments]
            return _gathered(
                builder, [emit(builder, *parts) for parts in zip(*columns, strict=True)]
            )

        return Vec(kind, count)(*operands), code

    if arity == 1:
        return intrinsic(lambda context, a: signature_and_code(a))
    if arity == 2:
        return intrinsic(lambda context, a, b: signature_and_code(a, b))
    return intrinsic(lambda context, a, b, c: signature_and_code(a, b, c))


def _method(name):
    return lambda builder, *parts: getattr(builder, name)(*parts)


# floats; a scalar operand stands in every lane
add = _operation("f32", _method("fadd"), 2)
subtract = _operation("f32", _method("fsub"), 2)
multiply = _operation("f32", _method("fmul"), 2)
divide = _operation("f32", _method("fdiv"), 2)


def _fma(builder, a, b, c):
    if "fma" in target().needs or target().name == "dotprod":
        return call(builder, "llvm.fma.v16f32", a.type, a, b, c)
    return builder.fadd(builder.fmul(a, b), c)


fma = _operation("f32", _fma, 3)  # a·b + c
maximum = _operation("f32", lambda b, x, y: b.select(b.fcmp_ordered(">", x, y), x, y), 2)
minimum = _operation("f32", lambda b, x, y: b.select(b.fcmp_ordered("<", x, y), x, y), 2)
absolute = _operation("f32", lambda b, x: call(b, "llvm.fabs.v16f32", x.type, x), 1)
rounded = _operation("f32", lambda b, x: call(b, "llvm.rint.v16f32", x.type, x), 1)
root = _operation("f32", lambda b, x: call(b, "llvm.sqrt.v16f32", x.type, x), 1)
to_float = _operation("f32", lambda b, x: b.sitofp(x, register("f32")), 1)
bits_to_float = _operation("f32", lambda b, x: b.bitcast(x, register("f32")), 1)
less = _operation("mask", lambda b, x, y: b.fcmp_ordered("<", x, y), 2)
choose = _operation("f32", lambda b, mask, x, y: b.select(mask, x, y), 3)
swap_pairs = _operation(  # lanes 1, 0, 3, 2, ...
    "f32",
    lambda b, x: b.shuffle_vector(
        x, x, ir.Constant(ir.VectorType(I32, LANES), [n ^ 1 for n in range(LANES)])
    ),
    1,
)

# integers
add_int = _operation("i32", _method("add"), 2)
subtract_int = _operation("i32", _method("sub"), 2)
multiply_int = _operation("i32", _method("mul"), 2)
and_int = _operation("i32", _method("and_"), 2)
or_int = _operation("i32", _method("or_"), 2)
shift_left = _operation("i32", _method("shl"), 2)
shift_right = _operation("i32", _method("lshr"), 2)
shift_right_signed = _operation("i32", _method("ashr"), 2)
to_int = _operation("i32", lambda b, x: b.fptosi(x, register("i32")), 1)
float_bits = _operation("i32", lambda b, x: b.bitcast(x, register("i32")), 1)

# 64 bytes; bits move within each byte
as_bytes = _operation("u8", lambda b, x: b.bitcast(x, register("u8")), 1)
or_bytes = _operation("u8", _method("or_"), 2)
low_nibbles = _operation("u8", lambda b, x: b.and_(x, constant("u8", 15)), 1)
high_nibbles = _operation("u8", lambda b, x: b.lshr(x, constant("u8", 4)), 1)
flip_signs = _operation("u8", lambda b, x: b.xor(x, constant("u8", 128)), 1)


def bit_field(start, width, to=0):
    """Bits start .. start + width - 1 of every byte, moved to bit `to`."""

    def emit(builder, x):
        mask = constant("u8", ((1 << width) - 1) << to)
        if to >= start:
            return builder.and_(builder.shl(x, constant("u8", to - start)), mask)
        return builder.and_(builder.lshr(x, constant("u8", start - to)), mask)

    return _operation("u8", emit, 1)


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
        whole = builder.shuffle_vector(
            entries, entries, ir.Constant(ir.VectorType(I32, width), list(range(16)) * (width // 16))
        )
        family = "aarch64" if width == 16 else "x86"
        return _by_parts(
            builder,
            parts,
            lambda part: call(builder, f"llvm.{family}.{function}", part.type, whole, part),
            x,
        )

    return _operation("u8", emit, 1)


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
            lanes = list(range(n * width, (n + 1) * width))
            picked = ir.Constant(ir.VectorType(I32, width), lanes)
            cut.append(builder.shuffle_vector(operand, operand, picked))
        pieces.append(emit(*cut))
    while len(pieces) > 1:
        lanes = ir.VectorType(I32, 2 * pieces[0].type.count)
        everything = ir.Constant(lanes, list(range(lanes.count)))
        pieces = [
            builder.shuffle_vector(first, second, everything)
            for first, second in zip(pieces[::2], pieces[1::2], strict=True)
        ]
    return pieces[0]


# dot products: each 32-bit lane gains four products of unsigned weights and signed activations


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
    for w, x in _even_and_odd(builder, weights, x):
        products = builder.bitcast(builder.mul(w, x), register("i32"))
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

    return _operation("i32", emit, 3)


dot = _dot(DOTS)  # (i32 totals, 64 weights of 0 .. 255, i32 lanes of 4 signed bytes)
dot_small = _dot(SMALL_DOTS)  # weights of 0 .. 127


# memory


def _at(builder, address, element, offset=None):
    if offset is not None:
        address = builder.add(address, offset)
    return builder.inttoptr(address, element.as_pointer())


def _load(kind, element, widen=None):
    """load(address): 16 neighbours in memory, or 64 bytes."""

    @intrinsic
    def load(context, address):
        def code(context, builder, signature, arguments):
            lanes = ir.VectorType(element, ELEMENTS[kind][1])
            raw = builder.load(_at(builder, arguments[0], lanes), align=1)
            return _gathered(builder, [widen(builder, raw) if widen else raw])

        return Vec(kind, 1)(types.int64), code

    return load


load_bytes = _load("u8", I8)
load_i32 = _load("i32", I32)
load_u8 = _load("i32", I8, lambda b, x: b.zext(x, register("i32")))
load_u16 = _load("i32", I16, lambda b, x: b.zext(x, register("i32")))
load_i8 = _load("i32", I8, lambda b, x: b.sext(x, register("i32")))
load_f32 = _load("f32", FLOAT)
load_f16 = _load("f32", I16, widen_half)
load_bf16 = _load("f32", I16, widen_bf16)


@intrinsic
def row(context, address):
    """A single address."""

    def code(context, builder, signature, arguments):
        return _gathered(builder, [arguments[0]])

    return Rows(1)(types.int64), code


@intrinsic
def tile_size(context):
    """How many tokens a kernel computes at once on this rung."""

    def code(context, builder, signature, arguments):
        return ir.Constant(I64, target().tile)

    return types.int64(), code


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
    return _gathered(builder, [builder.add(base, builder.mul(stride, n)) for n in steps])


@intrinsic
def tile_of_rows(context, base, stride):
    """A tile of addresses, a stride apart."""

    def code(context, builder, signature, arguments):
        return _spaced(builder, *arguments, target().tile)

    return Rows(target().tile)(types.int64, types.int64), code


@intrinsic
def tile_of_rows_listed(context, base, stride, numbers, divisor):
    """A tile of addresses: base + stride · (number // divisor), the int32 numbers in memory."""

    def code(context, builder, signature, arguments):
        base, stride, numbers, divisor = arguments
        place, parts = _at(builder, numbers, I32), []
        for n in range(target().tile):
            raw = builder.load(builder.gep(place, [ir.Constant(I32, n)]), align=1)
            number = builder.udiv(builder.zext(raw, I64), divisor)
            parts.append(builder.add(base, builder.mul(stride, number)))
        return _gathered(builder, parts)

    return Rows(target().tile)(*[types.int64] * 4), code


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
            return _gathered(builder, parts)

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
        return _gathered(builder, parts)

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
    arguments = [value, place, ir.Constant(I32, 1), mask]
    kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
    name = "llvm.masked.store.v16f32.p0"
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    builder.call(function, arguments)


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
        return _gathered(builder, [loaded])

    return FLOATS(types.int64, types.int64), code


# between lanes


def _reduce(name, *start):
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
                part = name(builder, *halves)
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
        return _gathered(builder, [constant("f32", 0.0)] * rows.count)

    return Vec("f32", rows.count)(rows), code


@intrinsic
def int_zeros_like(context, rows):
    """An integer register of zeros for each row."""

    def code(context, builder, signature, arguments):
        return _gathered(builder, [constant("i32", 0)] * rows.count)

    return Vec("i32", rows.count)(rows), code


@intrinsic
def ramp(context):
    """0, 1, ... 15."""

    def code(context, builder, signature, arguments):
        return _gathered(builder, [ir.Constant(register("i32"), list(range(LANES)))])

    return INTS(), code
