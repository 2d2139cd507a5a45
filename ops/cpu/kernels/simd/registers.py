"""Tiles of SIMD registers as Numba types, and operations on them.

A `Vec` is a tile of registers (panels, tokens), each of 16 lanes of 32 bits (or of 64 bytes). An
operation works on each register; shapes broadcast as in NumPy: weights (panels, 1) and activations
(1, tokens) give sums (panels, tokens). So one kernel source serves every tile size. Operands in
memory are addresses: `Rows` has one per token, `Panels` one per panel. LLVM splits registers that
are wider than the machine's.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

from ops.cpu.instruction_sets.llvm import I32, I64, register, splat


class Vec(types.Type):
    """Registers of one kind: u8 (64 bytes), i32, f32, or mask (the result of a comparison)."""

    def __init__(self, kind, count, panels=1):
        self.kind, self.count, self.panels = kind, count, panels
        super().__init__(name=f"Vec({kind}, {panels} x {count})")


class Rows(types.Type):
    """An address for each token; adding an integer moves all of them."""

    def __init__(self, count):
        self.count, self.panels = count, 1
        super().__init__(name=f"Rows({count})")


class Panels(types.Type):
    """An address for each panel; adding an integer moves all of them."""

    def __init__(self, panels):
        self.count, self.panels = 1, panels
        super().__init__(name=f"Panels({panels})")


@register_model(Vec)
class _VecModel(models.PrimitiveModel):
    def __init__(self, manager, vec):
        super().__init__(manager, vec, ir.ArrayType(register(vec.kind), vec.count * vec.panels))


@register_model(Rows)
@register_model(Panels)
class _AddressesModel(models.PrimitiveModel):
    def __init__(self, manager, rows):
        super().__init__(manager, rows, ir.ArrayType(I64, rows.count * rows.panels))


BYTES, INTS, FLOATS = Vec("u8", 1), Vec("i32", 1), Vec("f32", 1)


def registers(builder, value, kind, panels, count):
    """The registers of an operand for a tile of this shape; a scalar in every lane."""
    if not isinstance(kind, Vec):
        scalar = builder.trunc(value, I32) if value.type == I64 else value
        return [splat(builder, scalar)] * (panels * count)
    down, along = (kind.count if kind.panels > 1 else 0), (1 if kind.count > 1 else 0)
    places = [panel * down + token * along for panel in range(panels) for token in range(count)]
    own = each(builder, value)
    return [own[place] for place in places]


def each(builder, value):
    """The registers of a tile, or its addresses; a single address gives a list of one."""
    if not isinstance(value.type, ir.ArrayType):
        return [value]
    return [builder.extract_value(value, n) for n in range(value.type.count)]


def gathered(builder, parts):
    """A tile of these registers, or addresses."""
    result = ir.Constant(ir.ArrayType(parts[0].type, len(parts)), ir.Undefined)
    for n, part in enumerate(parts):
        result = builder.insert_value(result, part, n)
    return result


def shape_of(operands):
    """Panels and tokens of the operation's result; a number or an address counts as one."""
    panels, counts = ([getattr(kind, side, 1) for kind in operands] for side in ("panels", "count"))
    return max(panels), max(counts)


def operation(kind, emit, arity):
    """An intrinsic that applies emit(builder, register...) to each register of its operands."""

    def signature_and_code(*operands):
        panels, count = shape_of(operands)

        def code(context, builder, signature, arguments):
            columns = [
                registers(builder, argument, operand, panels, count)
                for argument, operand in zip(arguments, signature.args, strict=True)
            ]
            return gathered(
                builder, [emit(builder, *parts) for parts in zip(*columns, strict=True)]
            )

        return Vec(kind, count, panels)(*operands), code

    if arity == 1:
        return intrinsic(lambda context, a: signature_and_code(a))
    if arity == 2:
        return intrinsic(lambda context, a, b: signature_and_code(a, b))
    return intrinsic(lambda context, a, b, c: signature_and_code(a, b, c))


def as_is(builder, value):
    return value


def method(name):
    return lambda builder, *parts: getattr(builder, name)(*parts)
