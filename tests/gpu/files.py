"""Models of real shape within seconds: random blocks, scaled so that weights spread as usual.

`benchmarks/shapes.py` draws normal weights and quantizes them, which takes minutes for 8B. Here a
few megabytes of random blocks fill every matrix, over and over; a kernel's speed does not show it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.shapes import F32, SHAPES, TYPES, Planned, plan_tensors, write_file
from quant.format import FORMATS, Format, dequantize, quantize

FILE_TYPES = TYPES | {"Q4_K_M": 15}
BLOCKS = (1 << 17) - 1  # random ones that repeat; a prime, so that rows do not
OFFSET = {"Q4_K": 7.5, "Q5_K": 15.5}  # what takes the mean away: half of the largest level


def write_random(name: str, kind: str, folder: Path) -> Path:
    """A file of one of the shapes; gives its path. `kind`: one of FILE_TYPES."""
    out = folder / f"{name}-{kind}.gguf"
    shape = SHAPES[name]

    def plan(tokens: int) -> Iterator[Planned]:
        chosen = _chooser(kind, shape.L, tied=shape.tied)
        for tensor in plan_tensors(shape, FORMATS["Q4_K" if kind == "Q4_K_M" else kind], tokens):
            yield replace(tensor, format=chosen(tensor))

    write_file(name, out, FILE_TYPES[kind], plan, fill)
    return out


def fill(tensor: Planned) -> NDArray[np.uint8]:
    """The tensor's bytes, a row of them each."""
    if tensor.deviation is None:
        return quantize(F32, np.ones(tensor.shape, np.float32))
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


def _chooser(kind: str, layers: int, *, tied: bool) -> Callable[[Planned], Format]:
    """Which format a tensor gets: llama.cpp's mixture for Q4_K_M."""
    larger = {layer for layer in range(layers) if _has_more_bits(layer, layers)}

    def chosen(tensor: Planned) -> Format:
        if kind != "Q4_K_M" or tensor.format is F32:
            return tensor.format
        parts = tensor.name.split(".")
        head = "token_embd" if tied else "output"
        if parts[0] == head:
            return FORMATS["Q6_K"]
        among = parts[0] == "blk" and parts[2] in ("attn_v", "ffn_down")
        return FORMATS["Q6_K" if among and int(parts[1]) in larger else "Q4_K"]

    return chosen


def _has_more_bits(layer: int, layers: int) -> bool:
    eighth = layers // 8
    return layer < eighth or layer >= 7 * eighth or (layer - eighth) % 3 == 2
