"""What attention needs beside `simd`: tiles in memory, lanes spread over memory, looking ahead."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ops.cpu.kernels.compiler import target
from ops.cpu.kernels.half import narrow_half, widen_half
from ops.cpu.kernels.registers import I8, I16, I32, I64, LANES, Panels, Vec, call, register, splat

LINE = 64  # bytes of a cache line


def _parts(builder, value, count):
    return [builder.extract_value(value, n) for n in range(count)]


def _joined(builder, parts):
    result = ir.Constant(ir.ArrayType(parts[0].type, len(parts)), ir.Undefined)
    for n, part in enumerate(parts):
        result = builder.insert_value(result, part, n)
    return result


def _place(builder, address, offset, element):
    return builder.inttoptr(builder.add(address, offset), element.as_pointer())


@intrinsic
def tile_of_panels(context, base, stride):
    """As many panels' addresses as a tile has queries, a stride apart."""

    def code(context, builder, signature, arguments):
        base, stride = arguments
        steps = [builder.mul(stride, ir.Constant(I64, n)) for n in range(target().queries)]
        parts = [builder.add(base, step) for step in steps]
        return parts[0] if len(parts) == 1 else _joined(builder, parts)

    one = target().queries == 1
    return (types.int64 if one else Panels(target().queries))(types.int64, types.int64), code


def _panels(kind):
    return getattr(kind, "panels", 1)


@intrinsic
def load_tile(context, rows, like):
    """From each row, 16 floats for each panel."""
    panels = _panels(like)

    def code(context, builder, signature, arguments):
        addresses, parts = _parts(builder, arguments[0], rows.count), []
        for n in range(panels):
            for address in addresses:
                place = _place(builder, address, ir.Constant(I64, 4 * LANES * n), register("f32"))
                parts.append(builder.load(place, align=1))
        return _joined(builder, parts)

    return Vec("f32", rows.count, panels)(rows, like), code


@intrinsic
def store_tile(context, rows, value):
    """To each row, its panels one after the other."""

    def code(context, builder, signature, arguments):
        addresses = _parts(builder, arguments[0], rows.count)
        for n, part in enumerate(_parts(builder, arguments[1], rows.count * value.panels)):
            offset = ir.Constant(I64, 4 * LANES * (n // rows.count))
            place = _place(builder, addresses[n % rows.count], offset, register("f32"))
            builder.store(part, place, align=1)
        return context.get_dummy_value()

    return types.void(rows, value), code


@intrinsic
def load_scales(context, address, like):
    """f16 that two panels share, in every lane."""
    panels = _panels(like)

    def code(context, builder, signature, arguments):
        parts = []
        for n in range(panels):
            place = _place(builder, arguments[0], I64(2 * (n // 2)), I16)
            parts.append(splat(builder, widen_half(builder, builder.load(place, align=1))))
        return _joined(builder, parts)

    return Vec("f32", 1, panels)(types.int64, like), code


def _scatter(narrow):
    """scatter(address, stride, value): the lanes of the only register, a stride of bytes apart."""

    @intrinsic
    def scatter(context, address, stride, value):
        def code(context, builder, signature, arguments):
            address, stride, value = arguments
            lanes = narrow(builder, builder.extract_value(value, 0))
            for n in range(LANES):
                lane = builder.extract_element(lanes, ir.Constant(I32, n))
                offset = builder.mul(stride, ir.Constant(I64, n))
                builder.store(lane, _place(builder, address, offset, lane.type), align=1)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, value), code

    return scatter


scatter_f32 = _scatter(lambda builder, value: value)
scatter_f16 = _scatter(narrow_half)
scatter_i8 = _scatter(lambda builder, value: builder.trunc(value, ir.VectorType(I8, LANES)))


def fetch(size):
    """fetch(address): asks memory for so many bytes, which may lie anywhere."""

    @intrinsic
    def ask(context, address):
        def code(context, builder, signature, arguments):
            for offset in range(0, size, LINE):
                place = _place(builder, arguments[0], I64(offset), I8)
                values = [place, I32(0), I32(3), I32(1)]  # to read, into the nearest cache, data
                call(builder, "llvm.prefetch.p0", ir.VoidType(), *values)
            return context.get_dummy_value()

        return types.void(types.int64), code

    return ask
