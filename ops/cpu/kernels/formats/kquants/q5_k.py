"""Q5_K: | d f16 | dmin f16 | scales and minima 12 | fifth bits 32 | nibbles 128 |."""

from ops.cpu.kernels.formats.arithmetic import bits_of
from ops.cpu.kernels.formats.kquants.six_bit_scales import (
    minimum_of_group,
    scale_of_group,
    six_bit_factors,
)
from ops.cpu.kernels.formats.records import Quantized
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f16 as one_f16
from ops.cpu.kernels.simd.memory import spread_bits
from ops.cpu.kernels.simd.operations import load_i32, or_bytes
from quant.format import FORMATS


@device
def dequantize(block, out):
    d, dmin, scales = one_f16(block, 0), one_f16(block, 1), block + 4
    for group in range(8):
        s, m = d * scale_of_group(scales, group), -dmin * minimum_of_group(scales, group)
        for half in range(2):
            source, high = block + 48 + 32 * (group // 2) + 16 * half, block + 16 + 16 * half
            target = out + 128 * group + 64 * half
            spread_bits(source, 4 * (group % 2), 4, high, group, 1, target, s, m)


@device
def levels(w, part, g):
    """Bit `part` of the 32 bytes at `qh` is the fifth."""
    raw = load_i32(w + 768 + 512 * (part // 2) + 64 * g)
    fifths = bits_of(load_i32(w + 256 + 64 * g), part, 0x01010101, 4)
    return or_bytes(bits_of(raw, part % 2 * 4, 0x0F0F0F0F, 0), fifths)


KERNELS = Quantized(
    FORMATS["Q5_K"],
    dequantize,
    levels,
    six_bit_factors,
    offset=None,
)
