"""Random weights within seconds: a few megabytes of random blocks fill every matrix, repeated.

A kernel's speed does not show it. The blocks are scaled so that weights spread as usual.
"""

from functools import cache

import numpy as np
from families import F32, Planned
from numpy.typing import NDArray

from quant.format import FORMATS, Format, dequantize, quantize

BLOCKS = (1 << 17) - 1  # random ones that repeat; a prime, so that rows do not
OFFSET = {"Q4_K": 7.5, "Q5_K": 15.5}  # what takes the mean away: half of the largest level
INSTEAD = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}  # where rows are not whole blocks


def fill(tensor: Planned) -> NDArray[np.uint8]:
    """The tensor's bytes, a row of them each."""
    if tensor.deviation is None:
        return quantize(F32, np.full(tensor.shape, tensor.level, np.float32))
    blocks = random_blocks(tensor.format, tensor.deviation)
    count = int(np.prod(tensor.shape, dtype=np.int64)) // tensor.format.block_size
    start = sum(tensor.name.encode()) % len(blocks)  # matrices differ from each other
    return np.resize(np.roll(blocks, start, 0), (count, blocks.shape[1])).reshape(
        *tensor.shape[:-1], -1
    )


@cache
def random_blocks(kind: Format, deviation: float) -> NDArray[np.uint8]:  # (BLOCKS, block_bytes)
    """Of a mean near 0."""
    random = np.random.default_rng(7)
    if "d" not in (kind.block.names or ()):
        values = random.standard_normal((BLOCKS, kind.block_size), np.float32)
        return quantize(kind, values * np.float32(deviation))
    raw = random.integers(0, 256, (BLOCKS, kind.block_bytes), dtype=np.uint8)
    signs = random.choice(np.float32([-1, 1]), BLOCKS)
    sample = _scaled(kind, raw[:4096], signs[:4096])
    spread = float(dequantize(kind, sample).std())
    return _scaled(kind, raw, signs * np.float32(deviation / spread))


def _scaled(kind: Format, raw: NDArray[np.uint8], scales: NDArray[np.float32]) -> NDArray[np.uint8]:
    filled = raw.copy()
    blocks = filled.reshape(-1).view(kind.block)
    blocks["d"] = scales.astype(np.float16).view(np.uint16)
    if kind.name in OFFSET:
        minimum = scales * np.float32(OFFSET[kind.name])
        blocks["dmin"] = minimum.astype(np.float16).view(np.uint16)
    return filled


def mixed(tensor: Planned, layers: int, *, tied: bool) -> Format:
    """The format of a tensor in llama.cpp's mixture Q4_K_M."""
    if tensor.format.name != "Q4_K":
        return tensor.format
    parts = tensor.name.split(".")
    name = "Q6_K" if parts[0] == ("token_embd" if tied else "output") else "Q4_K"
    if parts[0] == "blk" and parts[2] in ("attn_v", "ffn_down", "ffn_down_exps"):
        name = "Q6_K" if _has_more_bits(int(parts[1]), layers) else "Q4_K"
    if parts[0] == "blk" and parts[2] == "attn_qkv":
        name = "Q5_K"
    fits = tensor.shape[-1] % FORMATS[name].block_size == 0
    return FORMATS[name if fits else INSTEAD[name]]


def _has_more_bits(layer: int, layers: int) -> bool:
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2
