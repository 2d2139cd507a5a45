"""Q4_K: | d f16 | dmin f16 | scales and minima 12 | nibbles 128 |."""

from ops.cpu.kernels.formats.arithmetic import bits_of
from ops.cpu.kernels.formats.kquants.six_bit_scales import (
    minimum_of_group,
    scale_of_group,
    six_bit_factors,
)
from ops.cpu.kernels.formats.records import Quantized
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f16 as one_f16
from ops.cpu.kernels.simd.memory import spread_high, spread_low
from ops.cpu.kernels.simd.operations import load_i32
from quant.format import FORMATS


@device
def dequantize(block, out):
    d, dmin, scales = one_f16(block, 0), one_f16(block, 1), block + 4
    for group in range(8):  # of 32 weights; two share their bytes
        s, m = d * scale_of_group(scales, group), -dmin * minimum_of_group(scales, group)
        source, target = block + 16 + 32 * (group // 2), out + 128 * group
        for half in range(2):
            if group % 2 == 0:
                spread_low(source + 16 * half, target + 64 * half, s, m)
            else:
                spread_high(source + 16 * half, target + 64 * half, s, m)


@device
def levels(w, part, g):
    raw = load_i32(w + 256 + 512 * (part // 2) + 64 * g)
    return bits_of(raw, part % 2 * 4, 0x0F0F0F0F, 0)


KERNELS = Quantized(
    FORMATS["Q4_K"],
    dequantize,
    levels,
    six_bit_factors,
    offset=None,
)
