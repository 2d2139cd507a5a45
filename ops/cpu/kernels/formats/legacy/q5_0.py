"""Q5_0: | d f16 | fifth bits u32 | nibbles 16 |, levels from -16 on."""

import numpy as np

from ops.cpu.kernels.formats.legacy.fifth_bits import fifth_bit_levels
from ops.cpu.kernels.formats.records import Quantized
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f16 as one_f16
from ops.cpu.kernels.simd.memory import load_u32, spread_fifths
from ops.cpu.kernels.simd.operations import load_f16
from quant.format import FORMATS


@device
def dequantize(block, out):
    d, fifths = one_f16(block, 0), load_u32(block + 2, 0)
    spread_fifths(block + 6, 0, fifths, out, d, np.float32(-16) * d)
    spread_fifths(block + 6, 4, fifths >> 16, out + 64, d, np.float32(-16) * d)


@device
def factors(w, part):
    return load_f16(w), load_f16(w), load_f16(w), load_f16(w)


KERNELS = Quantized(
    FORMATS["Q5_0"],
    dequantize,
    fifth_bit_levels(32),
    factors,
    offset=4,
)
