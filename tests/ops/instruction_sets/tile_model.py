"""Matrix tiles in memory: what AMX's instructions mean, on a CPU that may lack them.

Products of BF16 are those of `bf16_model.tile_product`, but for numbers below 2^-126.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from llvmlite import ir
from model_kernels import ModelKernels
from numba.core import cgutils
from numba.core.cgutils import for_range

from ops.cpu.instruction_sets.amx import ROWS, configuration
from ops.cpu.instruction_sets.llvm import (
    I8,
    I32,
    I64,
    constant,
    multiply_add,
    pointer,
    register,
    splat,
)
from ops.cpu.instruction_sets.rung import Builder, MatrixTile, Rung, Value
from ops.cpu.kernels import BY_TILES
from ops.cpu.objects import ObjectStore

TILE = ir.ArrayType(ir.ArrayType(I8, 64), ROWS)


def _memory(builder: Builder, tile: int) -> Value:
    """The tile of this number, a variable of the function."""
    name, [entry, *_] = f"tile.{tile}", builder.function.blocks
    for instruction in entry.instructions:
        if instruction.name == name:
            return instruction
    with builder.goto_entry_block():
        return builder.alloca(TILE, name=name)


def _shape(tile: int, columns: int) -> tuple[int, int]:
    """Rows and bytes per row, as `ldtilecfg` reads them."""
    config = configuration(columns)
    return config[48 + tile], config[16 + 2 * tile]


def _nothing(builder: Builder, *columns: int) -> None:
    """The shapes are known when code is generated."""


def _zero(builder: Builder, tile: int) -> None:
    builder.store(ir.Constant(TILE, None), _memory(builder, tile))


def _function(builder: Builder, name: str, kinds: Sequence[ir.Type], body: Callable[..., None]):
    """A function of the module, written once: loops keep the caller small."""
    function = builder.module.globals.get(name)
    if function is None:
        kind = ir.FunctionType(ir.VoidType(), kinds)
        function = ir.Function(builder.module, kind, name)
        function.linkage = "internal"
        inner = ir.IRBuilder(function.append_basic_block())
        body(inner, *function.args)
        inner.ret_void()
    return function


def _load(builder: Builder, tile: int, columns: int, address: Value, stride: Value) -> None:
    rows, width = _shape(tile, columns)

    def body(builder: Builder, memory: Value, address: Value, stride: Value) -> None:
        builder.store(ir.Constant(TILE, None), memory)
        _copy_rows(builder, memory, address, stride, (rows, width), into_tile=True)

    _call_on_memory(builder, f"tileloadd_{rows}_{width}", tile, (address, stride), body)


def _store(builder: Builder, tile: int, address: Value, stride: Value) -> None:
    def body(builder: Builder, memory: Value, address: Value, stride: Value) -> None:
        _copy_rows(builder, memory, address, stride, (ROWS, 64), into_tile=False)

    _call_on_memory(builder, "tilestored", tile, (address, stride), body)


def _call_on_memory(
    builder: Builder, name: str, tile: int, place: tuple[Value, Value], body: Callable[..., None]
) -> None:
    function = _function(builder, name, [TILE.as_pointer(), I64, I64], body)
    builder.call(function, [_memory(builder, tile), *place])


def _copy_rows(
    builder: Builder,
    memory: Value,
    address: Value,
    stride: Value,
    shape: tuple[int, int],
    *,
    into_tile: bool,
) -> None:
    kind = ir.VectorType(I8, shape[1])
    with for_range(builder, I64(shape[0])) as row:
        inside = builder.bitcast(builder.gep(memory, [I64(0), row.index]), kind.as_pointer())
        outside = pointer(builder, address, kind, builder.mul(stride, row.index))
        source, target = (outside, inside) if into_tile else (inside, outside)
        builder.store(builder.load(source, align=1), target, align=1)


def _multiply(builder: Builder, sums: int, x: int, weights: int, columns: int) -> None:
    """TDPBSUD, in a function of its own: sums[m][n] += signed x[m][4k + i] · w[k][4n + i]."""
    rows, width = _shape(x, columns)

    def body(builder: Builder, sums: Value, x: Value, weights: Value) -> None:
        with for_range(builder, I32(rows)) as m, for_range(builder, I32(width // 4)) as k:
            _add_four(builder, sums, x, weights, m.index, k.index)

    function = _function(builder, f"tdpbsud_{width}", [TILE.as_pointer()] * 3, body)
    builder.call(function, [_memory(builder, tile) for tile in (sums, x, weights)])


def _add_four(builder: Builder, sums: Value, x: Value, w: Value, m: Value, k: Value) -> None:
    """sums[m][n] += x[m][4k + i] · w[k][4n + i], for i of 0 .. 3 and n of 0 .. 15."""
    place = builder.bitcast(builder.gep(sums, [I32(0), m]), register("i32").as_pointer())
    words = builder.bitcast(builder.gep(w, [I32(0), k]), register("i32").as_pointer())
    total, weights = builder.load(place, align=1), builder.load(words, align=1)
    for i in range(4):
        column = builder.add(builder.mul(k, I32(4)), I32(i))
        signed = builder.sext(builder.load(builder.gep(x, [I32(0), m, column])), I32)
        unsigned = builder.and_(builder.lshr(weights, constant("i32", 8 * i)), constant("i32", 255))
        total = builder.add(total, builder.mul(splat(builder, signed), unsigned))
    builder.store(total, place, align=1)


def _multiply_bf16(builder: Builder, sums: int, x: int, weights: int) -> None:
    """TDPBF16PS: even and odd columns are summed apart from 0 on, then together, then added."""

    def body(builder: Builder, sums: Value, x: Value, weights: Value) -> None:
        kind, zeros = register("f32"), constant("f32", 0.0)
        chains = [cgutils.alloca_once_value(builder, zeros) for _ in range(2)]
        with for_range(builder, I32(ROWS)) as m:
            for chain in chains:
                builder.store(zeros, chain)
            with for_range(builder, I32(ROWS)) as k:
                pair = _row(builder, x, m.index, I32.as_pointer(), k.index)
                words = _row(builder, weights, k.index, register("i32").as_pointer(), I32(0))
                for chain, first in zip(chains, (_lower, _upper), strict=True):
                    operands = first(builder, splat(builder, pair)), first(builder, words)
                    builder.store(multiply_add(builder, *operands, builder.load(chain)), chain)
            place = builder.bitcast(builder.gep(sums, [I32(0), m.index]), kind.as_pointer())
            both = builder.fadd(*map(builder.load, chains))
            builder.store(builder.fadd(builder.load(place, align=1), both), place, align=1)

    function = _function(builder, "tdpbf16ps", [TILE.as_pointer()] * 3, body)
    builder.call(function, [_memory(builder, tile) for tile in (sums, x, weights)])


def _row(builder: Builder, tile: Value, row: Value, kind: ir.Type, index: Value) -> Value:
    """An element of a tile's row."""
    place = builder.bitcast(builder.gep(tile, [I32(0), row]), kind)
    return builder.load(builder.gep(place, [index]), align=1)


def _lower(builder: Builder, pairs: Value) -> Value:
    return builder.bitcast(builder.shl(pairs, constant("i32", 16)), register("f32"))


def _upper(builder: Builder, pairs: Value) -> Value:
    return builder.bitcast(builder.and_(pairs, constant("i32", 0xFFFF0000)), register("f32"))


def with_tiles(rung: Rung) -> Rung:
    """The rung, with the model's tiles."""
    tiles = MatrixTile(_nothing, _nothing, _zero, _load, _multiply, _multiply_bf16, _store)
    return replace(rung, matrix_tile=tiles)


def tile_kernels(store: ObjectStore) -> ModelKernels:
    """This machine's kernels, but products by the model's tiles."""
    return ModelKernels(store, with_tiles(store.rung), BY_TILES)
