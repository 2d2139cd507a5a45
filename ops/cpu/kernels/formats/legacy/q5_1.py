"""Q5_1: | d f16 | m f16 | fifth bits u32 | nibbles 16 |, m the minimum."""

import numpy as np

from ops.cpu.kernels.formats.legacy.fifth_bits import fifth_bit_levels
from ops.cpu.kernels.formats.records import Quantized
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f16 as one_f16
from ops.cpu.kernels.simd.memory import load_u32, spread_fifths
from ops.cpu.kernels.simd.operations import load_f16, subtract
from quant.format import FORMATS


@device
def dequantize(block, out):
    d, m, fifths = one_f16(block, 0), one_f16(block, 1), load_u32(block + 4, 0)
    spread_fifths(block + 8, 0, fifths, out, d, m)
    spread_fifths(block + 8, 4, fifths >> 16, out + 64, d, m)


@device
def factors(w, part):
    d, minimum = load_f16(w), subtract(np.float32(0), load_f16(w + 32))
    return d, d, minimum, minimum


KERNELS = Quantized(
    FORMATS["Q5_1"],
    dequantize,
    fifth_bit_levels(64),
    factors,
    offset=None,
)
