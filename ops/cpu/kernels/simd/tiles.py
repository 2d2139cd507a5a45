"""Loads and stores of tiles, scales that panels share, and scattered lanes."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ops.cpu.instruction_sets.llvm import I8, I16, I32, I64, LANES, pointer, register, splat
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


@intrinsic
def load_scales(context, address, like):
    """An f16 scale for every two panels, in every lane."""
    panels, _ = shape_of([like])

    def code(context, builder, signature, arguments):
        parts = []
        for n in range(panels):
            place = pointer(builder, arguments[0], I16, I64(2 * (n // 2)))
            halves = splat(
                builder, builder.load(place, align=1)
            )  # one instruction, a scalar takes 3
            parts.append(widen_half(builder, halves))
        return gathered(builder, parts)

    return Vec("f32", 1, panels)(types.int64, like), code


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
scatter_i8 = _scatter(lambda builder, value: builder.trunc(value, ir.VectorType(I8, LANES)))
