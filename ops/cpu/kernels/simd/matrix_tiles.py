"""The rung's matrix tiles in kernels: tiles are registers named by number, as in assembly.

What one of these functions loads into a tile, another may use only in the same function of a
kernel, between `configure` and `release`.
"""

from numba import types
from numba.extending import intrinsic

from ops.cpu.kernels.simd.compiler import target


def _on_tiles(emit):
    """An intrinsic without operands: emit(tiles, builder)."""

    @intrinsic
    def run(context):
        def code(context, builder, signature, arguments):
            emit(target().matrix_tile, builder)
            return context.get_dummy_value()

        return types.void(), code

    return run


def emitted(emit):
    """run(first, second): emit(tiles, builder, first, second), of two addresses or numbers.

    All that `emit` does with tiles is in the function of the kernel that calls `run`.
    """

    @intrinsic
    def run(context, address, stride):
        def code(context, builder, signature, arguments):
            emit(target().matrix_tile, builder, *arguments)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), code

    return run


def configure(columns):
    return _on_tiles(lambda tiles, builder: tiles.configure(builder, columns))


def load(tile, columns):
    return emitted(lambda tiles, builder, *place: tiles.load(builder, tile, columns, *place))


def store(tile):
    return emitted(lambda tiles, builder, *place: tiles.store(builder, tile, *place))


def product(sums, x, weights, columns):
    """sums = x · weights"""

    def emit(tiles, builder):
        tiles.zero(builder, sums)
        tiles.multiply(builder, sums, x, weights, columns)

    return _on_tiles(emit)


def add_product(sums, x, weights, columns):
    """sums += x · weights"""
    return _on_tiles(lambda tiles, builder: tiles.multiply(builder, sums, x, weights, columns))


def add_bf16_product(sums, x, weights):
    """sums += x · weights, in BF16"""
    return _on_tiles(lambda tiles, builder: tiles.multiply_bf16(builder, sums, x, weights))


release = _on_tiles(lambda tiles, builder: tiles.release(builder))
