"""Q4_1: | d f16 | m f16 | nibbles 16 |, m the minimum."""

import numpy as np

from ops.cpu.kernels.formats.arithmetic import add_scaled, subtract_minimum
from ops.cpu.kernels.formats.legacy.nibbles import nibble_levels, nibble_sums
from ops.cpu.kernels.formats.records import Quantized
from ops.cpu.kernels.simd.compiler import device, inlined
from ops.cpu.kernels.simd.memory import load_f16 as one_f16
from ops.cpu.kernels.simd.memory import spread_high, spread_low
from ops.cpu.kernels.simd.operations import int_zeros, load_f16, subtract
from quant.format import FORMATS


@device
def dequantize(block, out):
    d, m = one_f16(block, 0), one_f16(block, 1)
    spread_low(block + 4, out, d, m)
    spread_high(block + 4, out + 64, d, m)


@device
def levels(w, part, g):
    return nibble_levels(w + 64, g)


@device
def factors(w, part):
    d, minimum = load_f16(w), subtract(np.float32(0), load_f16(w + 32))
    return d, d, minimum, minimum


@inlined
def block(w, x, offset, total):
    sums = nibble_sums(w + 64, x, offset, int_zeros(w, x))
    total = subtract_minimum(subtract(np.float32(0), load_f16(w + 32)), x, offset, total)
    return add_scaled(sums, load_f16(w), x, offset, total)


KERNELS = Quantized(
    FORMATS["Q4_1"],
    dequantize,
    levels,
    factors,
    offset=None,
    block=block,
)
