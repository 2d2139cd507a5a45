"""Loads and stores of tiles, scales that panels share, and scattered lanes."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ops.cpu.instruction_sets.halves import narrow_bf16
from ops.cpu.instruction_sets.llvm import (
    I8,
    I16,
    I32,
    I64,
    LANES,
    constant,
    lane_numbers,
    pointer,
    register,
    shuffled,
    splat,
)
from ops.cpu.kernels.simd.compiler import narrow_half, widen_half
from ops.cpu.kernels.simd.registers import Vec, as_is, each, gathered, shape_of


def _addresses(builder, rows, panels, kind="f32"):
    """Addresses of a tile's registers: in each row, the panels' one after the other."""
    return [
        pointer(builder, address, register(kind), I64(4 * LANES * n))
        for n in range(panels)
        for address in each(builder, rows)
    ]


def _load_tile(kind):
    """load(rows, like): 16 numbers per panel from each row."""

    @intrinsic
    def load(context, rows, like):
        panels, _ = shape_of([like])

        def code(context, builder, signature, arguments):
            addresses = _addresses(builder, arguments[0], panels, kind)
            return gathered(builder, [builder.load(place, align=1) for place in addresses])

        return Vec(kind, rows.count, panels)(rows, like), code

    return load


load_tile, load_int_tile = _load_tile("f32"), _load_tile("i32")


@intrinsic
def store_tile(context, rows, value):
    """Stores to each row its panels, one after the other."""

    def code(context, builder, signature, arguments):
        rows, parts = arguments
        addresses = _addresses(builder, rows, value.panels)
        for place, part in zip(addresses, each(builder, parts), strict=True):
            builder.store(part, place, align=1)
        return context.get_dummy_value()

    return types.void(rows, value), code


def _load_scales(size):
    """load(address, like): an f16 scale for every two panels, `size` bytes apart, in every lane."""

    @intrinsic
    def load(context, address, like):
        panels, _ = shape_of([like])

        def code(context, builder, signature, arguments):
            parts = []
            for n in range(panels):
                place = pointer(builder, arguments[0], I16, I64(size * (n // 2)))
                bits = builder.load(place, align=1)
                parts.append(widen_half(builder, splat(builder, bits)))  # a scalar takes 3 steps
            return gathered(builder, parts)

        return Vec("f32", 1, panels)(types.int64, like), code

    return load


load_scales, load_scales_of_pairs = _load_scales(2), _load_scales(4)


def _load_few_bits(element, fields):
    """load(address): 16 small numbers from each address, one a lane."""

    @intrinsic
    def load(context, address):
        def code(context, builder, signature, arguments):
            places = [pointer(builder, one, element) for one in each(builder, arguments[0])]
            loaded = [builder.load(place, align=1) for place in places]
            return gathered(builder, [fields(builder, one) for one in loaded])

        panels, _ = shape_of([address])
        return Vec("i32", 1, panels)(address), code

    return load


EIGHT_BYTES = ir.VectorType(I8, LANES // 2)


def _nibbles(builder, packed):
    """Lanes 0-7 are the low nibbles."""
    twice = shuffled(builder, packed, packed, [*range(LANES // 2)] * 2)
    shifts = ir.Constant(register("i32"), [0] * (LANES // 2) + [4] * (LANES // 2))
    moved = builder.lshr(builder.zext(twice, register("i32")), shifts)
    return builder.and_(moved, constant("i32", 15))


def _bits(builder, packed):
    words = splat(builder, builder.zext(packed, I32))
    return builder.and_(builder.lshr(words, lane_numbers()), constant("i32", 1))


load_nibbles, load_bits = _load_few_bits(EIGHT_BYTES, _nibbles), _load_few_bits(I16, _bits)


@intrinsic
def store_nibbles(context, address, value):
    """The lower four bits of a single register's lanes, as `load_nibbles` reads them."""

    def code(context, builder, signature, arguments):
        address, value = arguments
        lanes = builder.and_(builder.extract_value(value, 0), constant("i32", 15))
        low, high = (shuffled(builder, lanes, lanes, range(n, n + 8)) for n in (0, 8))
        both = builder.or_(low, builder.shl(high, ir.Constant(high.type, [4] * 8)))
        packed = builder.trunc(both, EIGHT_BYTES)
        builder.store(packed, pointer(builder, address, EIGHT_BYTES), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, value), code


def _scatter(narrow):
    """scatter(address, stride, value): the lanes of a single register, `stride` bytes apart."""

    @intrinsic
    def scatter(context, address, stride, value):
        def code(context, builder, signature, arguments):
            address, stride, value = arguments
            lanes = narrow(builder, builder.extract_value(value, 0))
            for n in range(LANES):
                lane = builder.extract_element(lanes, I32(n))
                offset = builder.mul(stride, I64(n))
                builder.store(lane, pointer(builder, address, lane.type, offset), align=1)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, value), code

    return scatter


scatter_f32 = _scatter(as_is)
scatter_f16 = _scatter(narrow_half)
scatter_bf16 = _scatter(narrow_bf16)
scatter_i8 = _scatter(lambda builder, value: builder.trunc(value, ir.VectorType(I8, LANES)))
