"""The table of all tensor formats, and the conversion of tensor bytes to weights and back.

A tensor is stored row by row; a row is a whole number of blocks; a block is one record of its
format's `block` type. A new format is added to this table and nowhere else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from quant import codebooks, few_bits, floats, iquants, kquants, legacy
from quant import microscaling as mx
from quant.bits import Blocks, Bytes, Floats
from quant.errors import ModelFileError, UsageError

CHUNK = 1 << 17
"""Weights converted at a time: small enough for the CPU caches, large enough for NumPy."""

DAMAGED = "the file is damaged: download it again"
NO_WEIGHTS = "the file is damaged or wrongly converted: get another one"


@dataclass(frozen=True, slots=True)
class Format:
    """How a block of weights is stored. A type without `dequantize` holds no weights."""

    name: str
    id: int  # in GGUF files
    block_size: int  # weights per block
    block: np.dtype[Any]  # the layout of one block
    dequantize: Callable[[Blocks], Floats] | None = None  # (n,) -> (n, block_size)
    quantize: Callable[[Floats], Blocks] | None = None  # (n, block_size) -> (n,)

    @property
    def block_bytes(self) -> int:
        return self.block.itemsize

    @property
    def bits_per_weight(self) -> float:
        return 8 * self.block_bytes / self.block_size


def _sized(name: str, id_: int, block_size: int, block_bytes: int) -> Format:
    """A type that occurs in no weights: of activations, or of plain numbers."""
    return Format(name, id_, block_size, np.dtype(f"V{block_bytes}"))


_TABLE = (
    Format("F32", 0, 1, floats.F32, floats.dequantize_f32, floats.quantize_f32),
    Format("F16", 1, 1, floats.F16, floats.dequantize_f16, floats.quantize_f16),
    Format("Q4_0", 2, 32, legacy.Q4_0, legacy.dequantize_q4_0, legacy.quantize_q4_0),
    Format("Q4_1", 3, 32, legacy.Q4_1, legacy.dequantize_q4_1, legacy.quantize_q4_1),
    Format("Q5_0", 6, 32, legacy.Q5_0, legacy.dequantize_q5_0, legacy.quantize_q5_0),
    Format("Q5_1", 7, 32, legacy.Q5_1, legacy.dequantize_q5_1, legacy.quantize_q5_1),
    Format("Q8_0", 8, 32, legacy.Q8_0, legacy.dequantize_q8_0, legacy.quantize_q8_0),
    _sized("Q8_1", 9, 32, 36),
    Format("Q2_K", 10, 256, kquants.Q2_K, kquants.dequantize_q2_k),
    Format("Q3_K", 11, 256, kquants.Q3_K, kquants.dequantize_q3_k),
    Format("Q4_K", 12, 256, kquants.Q4_K, kquants.dequantize_q4_k),
    Format("Q5_K", 13, 256, kquants.Q5_K, kquants.dequantize_q5_k),
    Format("Q6_K", 14, 256, kquants.Q6_K, kquants.dequantize_q6_k),
    _sized("Q8_K", 15, 256, 292),
    Format("IQ2_XXS", 16, 256, codebooks.IQ2_XXS, codebooks.dequantize_iq2_xxs),
    Format("IQ2_XS", 17, 256, codebooks.IQ2_XS, codebooks.dequantize_iq2_xs),
    Format("IQ3_XXS", 18, 256, codebooks.IQ3_XXS, codebooks.dequantize_iq3_xxs),
    Format("IQ1_S", 19, 256, codebooks.IQ1_S, codebooks.dequantize_iq1_s),
    Format("IQ4_NL", 20, 32, iquants.IQ4_NL, iquants.dequantize_iq4_nl, iquants.quantize_iq4_nl),
    Format("IQ3_S", 21, 256, codebooks.IQ3_S, codebooks.dequantize_iq3_s),
    Format("IQ2_S", 22, 256, codebooks.IQ2_S, codebooks.dequantize_iq2_s),
    Format("IQ4_XS", 23, 256, iquants.IQ4_XS, iquants.dequantize_iq4_xs),
    _sized("I8", 24, 1, 1),
    _sized("I16", 25, 1, 2),
    _sized("I32", 26, 1, 4),
    _sized("I64", 27, 1, 8),
    _sized("F64", 28, 1, 8),
    Format("IQ1_M", 29, 256, codebooks.IQ1_M, codebooks.dequantize_iq1_m),
    Format("BF16", 30, 1, floats.BF16, floats.dequantize_bf16, floats.quantize_bf16),
    Format("TQ1_0", 34, 256, few_bits.TQ1_0, few_bits.dequantize_tq1_0),
    Format("TQ2_0", 35, 256, few_bits.TQ2_0, few_bits.dequantize_tq2_0),
    Format("MXFP4", 39, 32, mx.MXFP4, mx.dequantize_mxfp4, mx.quantize_mxfp4),
    Format("NVFP4", 40, 64, mx.NVFP4, mx.dequantize_nvfp4),
    Format("Q1_0", 41, 128, few_bits.Q1_0, few_bits.dequantize_q1_0),
    Format("Q2_0", 42, 64, few_bits.Q2_0, few_bits.dequantize_q2_0),
)

FORMATS: Mapping[str, Format] = MappingProxyType({kind.name: kind for kind in _TABLE})

_BY_ID: Mapping[int, Format] = MappingProxyType({kind.id: kind for kind in _TABLE})

_REMOVED: Mapping[int, str] = MappingProxyType(
    {
        4: "Q4_2",
        5: "Q4_3",
        31: "Q4_0_4_4",
        32: "Q4_0_4_8",
        33: "Q4_0_8_8",
        36: "IQ4_NL_4_4",
        37: "IQ4_NL_4_8",
        38: "IQ4_NL_8_8",
    }
)


def format_by_id(id_: int) -> Format:
    """The format with this number in GGUF files. Raises ModelFileError for an unknown one."""
    if id_ in _REMOVED:
        raise ModelFileError(
            f"tensor type {id_} ({_REMOVED[id_]}) was removed from GGUF and is not supported",
            "convert the model again with current tools, or download a newer file",
        )
    if id_ not in _BY_ID:
        raise ModelFileError(
            f"unknown tensor type {id_}",
            "the file is damaged, or newer than this Lepton: download it again, or update Lepton",
        )
    return _BY_ID[id_]


def row_bytes(kind: Format, N: int) -> int:
    """Bytes of a row of N weights. Raises ModelFileError unless they fill whole blocks."""
    if N % kind.block_size:
        raise ModelFileError(
            f"a row of {N} weights is not a multiple of the {kind.block_size} weights "
            f"of a {kind.name} block",
            DAMAGED,
        )
    return N // kind.block_size * kind.block_bytes


def dequantize(kind: Format, raw: Bytes) -> Floats:  # (..., row bytes) -> (..., N)
    """Converts rows of bytes to weights, exactly as llama.cpp does.

    Besides the result it uses a few megabytes of memory, whatever the size of the tensor. Raises
    ModelFileError for a type without weights and for rows that end inside a block.
    """
    if kind.dequantize is None:
        raise ModelFileError(f"the tensor type {kind.name} holds no weights", NO_WEIGHTS)
    *rows, length = raw.shape
    if length % kind.block_bytes:
        raise ModelFileError(
            f"a row of {length} bytes is not a multiple of the {kind.block_bytes} bytes "
            f"of a {kind.name} block",
            DAMAGED,
        )
    blocks = raw.reshape(-1).view(kind.block)
    weights = np.empty((len(blocks), kind.block_size), np.float32)
    _convert(kind.dequantize, blocks, weights, CHUNK // kind.block_size)
    return weights.reshape(*rows, length // kind.block_bytes * kind.block_size)


def quantize(kind: Format, weights: Floats) -> Bytes:  # (..., N) -> (..., row bytes)
    """Converts finite weights to bytes as llama.cpp does. Raises UsageError if it cannot."""
    if kind.quantize is None:
        writable = ", ".join(other.name for other in _TABLE if other.quantize)
        raise UsageError(f"Lepton does not write {kind.name} yet", f"it writes {writable}")
    *rows, N = weights.shape
    length = row_bytes(kind, N)
    runs = weights.reshape(-1, kind.block_size)
    blocks = np.empty(len(runs), kind.block)
    _convert(kind.quantize, runs, blocks, CHUNK // kind.block_size)
    return blocks.view(np.uint8).reshape(*rows, length)


def _convert(function: Callable[[Blocks], Blocks], source: Blocks, out: Blocks, step: int) -> None:
    with np.errstate(invalid="ignore", over="ignore"):  # a file may hold infinite scales
        for start in range(0, len(source), step):
            out[start : start + step] = function(source[start : start + step])
