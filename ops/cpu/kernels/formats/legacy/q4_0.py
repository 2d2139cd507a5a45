"""Q4_0: | d f16 | nibbles 16 |, levels from -8 on."""

import numpy as np

from ops.cpu.kernels.formats.arithmetic import add_scaled, offset_sums
from ops.cpu.kernels.formats.legacy.nibbles import nibble_levels, nibble_sums
from ops.cpu.kernels.formats.records import Quantized
from ops.cpu.kernels.simd.compiler import device, inlined
from ops.cpu.kernels.simd.memory import load_f16 as one_f16
from ops.cpu.kernels.simd.memory import spread_high, spread_low
from ops.cpu.kernels.simd.operations import load_f16
from ops.cpu.layout import MINUS_SUM
from quant.format import FORMATS


@device
def dequantize(block, out):
    d = one_f16(block, 0)
    spread_low(block + 2, out, d, np.float32(-8) * d)
    spread_high(block + 2, out + 64, d, np.float32(-8) * d)


@device
def levels(w, part, g):
    return nibble_levels(w + 32, g)


@device
def factors(w, part):
    d = load_f16(w)
    return d, d, d, d


@inlined
def block(w, x, offset, total):
    start = offset_sums(w, x, offset + MINUS_SUM, 3)
    return add_scaled(nibble_sums(w + 32, x, offset, start), load_f16(w), x, offset, total)


KERNELS = Quantized(
    FORMATS["Q4_0"],
    dequantize,
    levels,
    factors,
    offset=3,
    block=block,
)
