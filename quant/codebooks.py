"""Formats whose blocks name entries of a grid, a table of 4 or 8 levels an entry: IQ1, IQ2, IQ3.

256 weights a block; `d` is f16. An entry's levels are those of consecutive weights.

IQ2_XXS   66 bytes   | d 2 | qs 32 + signs 32 |                            w = d (0.5 + s) / 4 · l
IQ2_XS    74 bytes   | d 2 | qs 64 | scales 8 |                            w = d (0.5 + s) / 4 · l
IQ2_S     82 bytes   | d 2 | qs 32 | signs 32 | qh 8 | scales 8 |          w = d (0.5 + s) / 4 · l
IQ3_XXS   98 bytes   | d 2 | qs 64 | signs 32 |                            w = d (0.5 + s) / 2 · l
IQ3_S    110 bytes   | d 2 | qs 64 | qh 8 | signs 32 | scales 4 |          w = d (1 + 2 s) · l
IQ1_S     50 bytes   | d 2 | qs 32 | qh 16 |                               w = d (1 + 2 s) (l ± 1/8)
IQ1_M     56 bytes   | qs 32 | qh 16 | scales 8 |                          w = d (1 + 2 s) (l ± 1/8)

`qs` are the low bits of the entries' numbers, `qh` those above. The levels l of IQ2 and IQ3 are
positive, and every weight has a sign bit. IQ2_XXS, IQ2_XS and IQ3_XXS store seven for eight
weights; the eighth makes the number of negative weights even.

Word g of `signs` in IQ2_XXS and IQ3_XXS, for weights 32g .. 32g + 31:

    bits 31-28    27-21          20-14          13-7          6-0
        | scale | signs 24..30 | signs 16..22 | signs 8..14 | signs 0..6 |
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from quant.bits import Blocks, Bytes, Floats, half, planes

IQ2_XXS = np.dtype([("d", "<u2"), ("qs", [("index", "u1", 4), ("signs", "<u4")], 8)])
IQ2_XS = np.dtype([("d", "<u2"), ("qs", "<u2", 32), ("scales", "u1", 8)])
IQ2_S = np.dtype(
    [("d", "<u2"), ("qs", "u1", 32), ("signs", "u1", 32), ("qh", "u1", 8), ("scales", "u1", 8)]
)
IQ3_XXS = np.dtype([("d", "<u2"), ("qs", "u1", 64), ("signs", "<u4", 8)])
IQ3_S = np.dtype(
    [("d", "<u2"), ("qs", "u1", 64), ("qh", "u1", 8), ("signs", "u1", 32), ("scales", "u1", 4)]
)
IQ1_S = np.dtype([("d", "<u2"), ("qs", "u1", 32), ("qh", "<u2", 8)])
IQ1_M = np.dtype([("qs", "u1", 32), ("qh", "u1", 16), ("scales", "<u2", 4)])

Levels = NDArray[np.int8]


@cache
def grid(name: str) -> Levels:  # (entries, 4 or 8)
    """The grid of a format. IQ1_M has that of IQ1_S.

    Its bits are data that no formula gives; the gguf package, which has them, is slow to import and
    needed by these formats alone.
    """
    from gguf import quants

    table = getattr(quants, name)
    table.init_grid()
    return np.ascontiguousarray(table.grid.reshape(table.grid_shape), np.int8)


def dequantize_iq2_xxs(blocks: Blocks) -> Floats:  # (n,) -> (n, 256)
    words = blocks["qs"]["signs"]
    scale = half(blocks["d"]) * _half_more(words >> np.uint32(28)) * np.float32(0.25)
    levels = grid("IQ2_XXS")[blocks["qs"]["index"].reshape(-1, 32)]
    return _scaled(_signed(levels, _sevens(words)), scale)


def dequantize_iq2_xs(blocks: Blocks) -> Floats:  # (n,) -> (n, 256)
    """A number of `qs`: the entry in the low nine bits, seven signs above."""
    scale = half(blocks["d"]) * _half_more(_nibbles(blocks["scales"])) * np.float32(0.25)
    levels = grid("IQ2_XS")[blocks["qs"] & np.uint16(511)]
    return _scaled(_signed(levels, _with_parity(blocks["qs"] >> np.uint16(9))), scale)


def dequantize_iq2_s(blocks: Blocks) -> Floats:  # (n,) -> (n, 256)
    scale = half(blocks["d"]) * _half_more(_nibbles(blocks["scales"])) * np.float32(0.25)
    levels = grid("IQ2_S")[_entries(blocks["qs"], _fields(blocks["qh"], 2))]
    return _scaled(_signed(levels, blocks["signs"]), scale)


def dequantize_iq3_xxs(blocks: Blocks) -> Floats:  # (n,) -> (n, 256)
    words = blocks["signs"]
    scale = half(blocks["d"]) * _half_more(words >> np.uint32(28)) * np.float32(0.5)
    return _scaled(_signed(grid("IQ3_XXS")[blocks["qs"]], _sevens(words)), scale)


def dequantize_iq3_s(blocks: Blocks) -> Floats:  # (n,) -> (n, 256)
    scale = half(blocks["d"]) * _odd(_nibbles(blocks["scales"]))
    levels = grid("IQ3_S")[_entries(blocks["qs"], _fields(blocks["qh"], 1))]
    return _scaled(_signed(levels, blocks["signs"]), scale)


def dequantize_iq1_s(blocks: Blocks) -> Floats:  # (n,) -> (n, 256)
    """A number of `qh`, of 32 weights: | sign of 1/8 | scale 3 | four times 3 bits of entries |."""
    qh = blocks["qh"]
    scale = half(blocks["d"]) * _odd(qh >> np.uint16(12) & np.uint16(7))
    upper = qh[..., None] >> np.arange(0, 12, 3, dtype=np.uint16) & np.uint16(7)
    shift = _eighths(qh >> np.uint16(15))
    return _moved(_entries(blocks["qs"], upper.reshape(-1, 32)), shift, scale)


def dequantize_iq1_m(blocks: Blocks) -> Floats:  # (n,) -> (n, 256)
    """Four bits of `qh` for each 8 weights: | sign of 1/8 | 3 bits of the entry |.

    A number of `scales`: | four bits of d | four times a scale of 16 weights, 3 bits |.
    """
    scales, qh = blocks["scales"], _nibbles(blocks["qh"])
    parts = (scales >> np.uint16(12)) << np.arange(0, 16, 4, dtype=np.uint16)
    d = half(np.bitwise_or.reduce(parts, axis=1))
    threes = scales[..., None] >> np.arange(0, 12, 3, dtype=np.uint16) & np.uint16(7)
    shift = _eighths(qh >> np.uint8(3))
    entries = _entries(blocks["qs"], qh & np.uint8(7))
    return _moved(entries, shift, d * _odd(threes.reshape(-1, 16)))


def _half_more(scales: Blocks) -> Floats:
    return np.float32(0.5) + scales.astype(np.float32)


def _odd(scales: Blocks) -> Floats:
    return (2 * scales + 1).astype(np.float32)


def _fields(packed: Bytes, width: int) -> Bytes:  # (n, w) -> (n, 8 / width · w)
    """The `width`-bit fields of every byte in turn, lowest bits first."""
    return planes(packed, width).swapaxes(1, 2).reshape(len(packed), -1)


def _nibbles(packed: Bytes) -> Bytes:  # (n, w) -> (n, 2w)
    return _fields(packed, 4)


def _entries(low: Bytes, upper: Blocks) -> NDArray[np.uint16]:  # 2 (n, e) -> (n, e)
    return low.astype(np.uint16) | upper.astype(np.uint16) << np.uint16(8)


def _sevens(words: Blocks) -> Bytes:  # (n, 8) -> (n, 32)
    """The sign bytes of a word's four times seven bits."""
    sevens = words[..., None] >> np.arange(0, 28, 7, dtype=np.uint32) & np.uint32(127)
    return _with_parity(sevens.reshape(-1, 32))


def _with_parity(sevens: Blocks) -> Bytes:
    """Bytes with an even number of bits set, from their lower seven."""
    odd = np.bitwise_count(sevens) & np.uint8(1)
    return sevens.astype(np.uint8) | odd << np.uint8(7)


def _signed(levels: Levels, signs: Bytes) -> Levels:  # (n, e, w), (n, 32) -> (n, 256)
    negative = np.unpackbits(signs, axis=1, bitorder="little").view(np.int8)
    return levels.reshape(-1, 256) * (np.int8(1) - np.int8(2) * negative)


def _scaled(levels: Levels, scale: Floats) -> Floats:  # (n, 256), (n, s) -> (n, 256)
    parts = levels.astype(np.float32).reshape(*scale.shape, -1)
    return (scale[..., None] * parts).reshape(-1, 256)


def _eighths(negative: Blocks) -> Floats:
    return np.float32(0.125) - np.float32(0.25) * negative.astype(np.float32)


def _moved(entries: NDArray[np.uint16], shift: Floats, scale: Floats) -> Floats:
    """(n, 32), (n, 8 or 32), (n, 8 or 16) -> (n, 256)"""
    levels = grid("IQ1_S")[entries].astype(np.float32).reshape(*shift.shape, -1)
    parts = (levels + shift[..., None]).reshape(*scale.shape, -1)
    return (scale[..., None] * parts).reshape(-1, 256)
