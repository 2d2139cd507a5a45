"""TQ2_0: | levels 64 | d f16 |, levels -1, 0 and 1 in two bits."""

from ops.cpu.kernels.formats.arithmetic import bits_of
from ops.cpu.kernels.formats.records import Quantized
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_f16 as one_f16
from ops.cpu.kernels.simd.memory import spread_bits
from ops.cpu.kernels.simd.operations import load_f16, load_i32
from quant.format import FORMATS


@device
def dequantize(block, out):
    d = one_f16(block + 64, 0)
    for group in range(16):  # of 16 weights
        source = block + 32 * (group // 8) + 16 * (group % 2)
        spread_bits(source, 2 * (group // 2 % 4), 2, source, 0, 0, out + 64 * group, d, -d)


@device
def levels(w, part, g):
    raw = load_i32(w + 512 * (part // 4) + 64 * g)
    return bits_of(raw, 2 * (part % 4), 0x03030303, 0)


@device
def factors(w, part):
    d = load_f16(w + 16 * 64)
    return d, d, d, d


KERNELS = Quantized(
    FORMATS["TQ2_0"],
    dequantize,
    levels,
    factors,
    offset=0,
)
