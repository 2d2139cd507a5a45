"""Types of the KV cache: how keys and values are written, and multiplied by queries and weights.

Keys are in panels of 64 positions, one per lane of four registers; values in rows, one per position
(ops/state/formats.py draws both).
"""

import numpy as np

from ops.cpu.kernels.attention.coded import CODINGS, coded_keys, coded_values
from ops.cpu.kernels.attention.records import Keys, Values
from ops.cpu.kernels.simd.addresses import tile_of_panels
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import store_f16 as store_half
from ops.cpu.kernels.simd.operations import (
    LANES,
    absolute,
    broadcast_f32,
    fma,
    load_bf16,
    load_f16,
    load_f32,
    load_i8,
    load_some,
    maximum,
    multiply,
    prefetch,
    reduce_max,
    rounded,
    store_bf16,
    store_f16,
    store_i8,
    to_float,
    to_int,
    zeros,
)
from ops.cpu.kernels.simd.operations import store as store_f32
from ops.cpu.kernels.simd.tiles import (
    load_scales,
    scatter_bf16,
    scatter_f16,
    scatter_f32,
    scatter_i8,
)
from ops.state.formats import PANEL

SCALED = 32  # elements that share a scale in q8_0
SCALED_BYTES = (2 + SCALED) * PANEL  # 32 elements of a panel: the scales, then the bytes by element


def float_keys(size, load, scatter):
    """A type of `size` bytes per element, without scales."""
    fetch_element = prefetch(PANEL * size)

    @device
    def product(queries, panel, lane, d, ahead):
        panels = tile_of_panels(panel + size * lane, LANES * size)
        total = zeros(panels, queries)
        for i in range(d):
            fetch_element(ahead + PANEL * size * i)
            q, k = broadcast_f32(queries, 4 * i), load(panels + PANEL * size * i)
            total = fma(q, k, total)
        return total

    @device
    def write(panel, lane, source, d):
        for i in range(0, d, LANES):
            value = load_some(source + 4 * i, min(d - i, LANES))
            scatter(panel + size * (PANEL * i + lane), PANEL * size, value)

    return Keys(product, write)


def float_values(size, load, store_lanes):
    @device
    def load_row(panels, scales):
        return load(panels)

    @device
    def write(row, source, d):
        for i in range(0, d, LANES):
            store_lanes(row + size * i, load_some(source + 4 * i, min(d - i, LANES)))

    return Values(LANES * size, 0, load_row, prefetch(PANEL * size), write)


fetch_bytes, fetch_scales = prefetch(PANEL), prefetch(2 * PANEL)


@device
def scale_of(source):
    """The scale of 32 floats: it maps the largest to 127."""
    largest = maximum(absolute(load_f32(source)), absolute(load_f32(source + 4 * LANES)))
    return reduce_max(largest) / np.float32(127)


@device
def bytes_of(source, scale):
    inverse = np.float32(1) / scale if scale > 0 else np.float32(0)
    return to_int(rounded(multiply(load_f32(source), inverse)))


@device
def product_q8_0(queries, panel, lane, d, ahead):
    panels = tile_of_panels(panel + lane, LANES)
    total = zeros(panels, queries)
    for block in range(d // SCALED):
        offset = block * SCALED_BYTES
        fetch_scales(ahead + offset)
        unscaled = zeros(panels, queries)
        for i in range(SCALED):
            here = offset + PANEL * (2 + i)
            fetch_bytes(ahead + here)
            q = broadcast_f32(queries, 4 * (block * SCALED + i))
            unscaled = fma(q, to_float(load_i8(panels + here)), unscaled)
        scales = load_f16(tile_of_panels(panel + offset + 2 * lane, 2 * LANES))
        total = fma(unscaled, scales, total)
    return total


@device
def write_key_q8_0(panel, lane, source, d):
    for block in range(d // SCALED):
        offset, here = panel + block * SCALED_BYTES, source + 4 * SCALED * block
        scale = scale_of(here)
        store_half(offset, lane, scale)
        offset += 2 * PANEL + lane
        scatter_i8(offset, PANEL, bytes_of(here, scale))
        scatter_i8(offset + LANES * PANEL, PANEL, bytes_of(here + 4 * LANES, scale))


@device
def load_row_q8_0(panels, scales):
    """A position's row: | d bytes | the scales of its blocks |."""
    return multiply(to_float(load_i8(panels)), load_scales(scales, panels))


@device
def write_value_q8_0(row, source, d):
    for block in range(d // SCALED):
        here, to = source + 4 * SCALED * block, row + SCALED * block
        scale = scale_of(here)
        store_half(row + d, block, scale)
        store_i8(to, bytes_of(here, scale))
        store_i8(to + LANES, bytes_of(here + 4 * LANES, scale))


KEYS = {
    "f16": float_keys(2, load_f16, scatter_f16),
    "f32": float_keys(4, load_f32, scatter_f32),
    "bf16": float_keys(2, load_bf16, scatter_bf16),
    "q8_0": Keys(product_q8_0, write_key_q8_0),
    **{kind: coded_keys(kind) for kind in CODINGS},
}
VALUES = {
    "f16": float_values(2, load_f16, store_f16),
    "f32": float_values(4, load_f32, store_f32),
    "bf16": float_values(2, load_bf16, store_bf16),
    "q8_0": Values(LANES, 2, load_row_q8_0, fetch_bytes, write_value_q8_0),
    **{kind: coded_values(kind) for kind in CODINGS},
}
