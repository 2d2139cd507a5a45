"""x86-64 with AMX: AVX-512, and tiles that multiply matrices of bytes and of BF16."""

import ctypes
import os
import platform
import sys
from dataclasses import replace

from llvmlite import ir

from ops.cpu.instruction_sets.avx512 import AVX512
from ops.cpu.instruction_sets.llvm import I8, call, pointer
from ops.cpu.instruction_sets.rung import ACTIVATIONS, SUMS, WEIGHTS, Builder, MatrixTile, Value
from quant.errors import LeptonError

ROWS, ROW_BYTES = 16, 64  # of a whole tile
ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA = 158, 0x1023, 18  # of x86-64 Linux


def configuration(columns: int) -> bytearray:
    """What `ldtilecfg` loads: palette 1, the bytes per row of each tile, and its rows.

    `columns`: the bytes of a row of activations.
    """
    shapes = dict.fromkeys(SUMS, (ROWS, ROW_BYTES))
    shapes |= dict.fromkeys(ACTIVATIONS, (ROWS, columns))
    shapes |= dict.fromkeys(WEIGHTS, (columns // 4, ROW_BYTES))
    config = bytearray(64)
    config[0] = 1
    for tile, (rows, row_bytes) in shapes.items():
        config[16 + 2 * tile], config[48 + tile] = row_bytes, rows
    return config


def _emit(builder: Builder, name: str, *operands: Value) -> None:
    call(builder, f"llvm.x86.{name}", ir.VoidType(), *operands)


def _configure(builder: Builder, columns: int) -> None:
    config = ir.Constant(ir.ArrayType(I8, 64), configuration(columns))
    name = f"tile_configuration_{columns}"
    place = builder.module.globals.get(name)
    if place is None:
        place = ir.GlobalVariable(builder.module, config.type, name)
        place.global_constant, place.linkage, place.initializer = True, "internal", config
    _emit(builder, "ldtilecfg", builder.bitcast(place, I8.as_pointer()))


def _release(builder: Builder) -> None:
    _emit(builder, "tilerelease")


def _zero(builder: Builder, tile: int) -> None:
    _emit(builder, "tilezero", I8(tile))


def _load(builder: Builder, tile: int, columns: int, address: Value, stride: Value) -> None:
    _emit(builder, "tileloadd64", I8(tile), pointer(builder, address, I8), stride)


def _multiply(builder: Builder, sums: int, x: int, weights: int, columns: int) -> None:
    _emit(builder, "tdpbsud", I8(sums), I8(x), I8(weights))


def _multiply_bf16(builder: Builder, sums: int, x: int, weights: int) -> None:
    _emit(builder, "tdpbf16ps", I8(sums), I8(x), I8(weights))


def _store(builder: Builder, tile: int, address: Value, stride: Value) -> None:
    _emit(builder, "tilestored64", I8(tile), pointer(builder, address, I8), stride)


def ask_for_tiles() -> None:
    """Asks Linux for the tiles, once for all threads of the process. Raises LeptonError."""
    error = _requested() if sys.platform == "linux" else f"not supported on {platform.system()}"
    if error:
        message = f"the system does not let this process use AMX ({error})"
        raise LeptonError(message, "LEPTON_CPU=avx512 does without it")


def _requested() -> str | None:
    """The error's text, if the kernel refuses: it is older than Linux 5.16, or forbids the call."""
    library = ctypes.CDLL(None, use_errno=True)
    refused = library.syscall(ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA)
    return os.strerror(ctypes.get_errno()) if refused else None


AMX = replace(
    AVX512,
    name="amx",
    features=f"{AVX512.features},+amx-tile,+amx-int8,+amx-bf16",
    needs=AVX512.needs | {"amx-tile", "amx-int8", "amx-bf16"},
    matrix_tile=MatrixTile(_configure, _release, _zero, _load, _multiply, _multiply_bf16, _store),
    prepare_process=ask_for_tiles,
)
