"""Q8_0: | d f16 | levels 32 |, signed."""

import numpy as np

from ops.cpu.kernels.formats.arithmetic import add_scaled, offset_sums
from ops.cpu.kernels.formats.records import Quantized
from ops.cpu.kernels.simd.compiler import device, inlined
from ops.cpu.kernels.simd.dots import dot
from ops.cpu.kernels.simd.memory import load_f16 as one_f16
from ops.cpu.kernels.simd.memory import spread_i8
from ops.cpu.kernels.simd.operations import broadcast_i32, flip_signs, load_bytes, load_f16
from ops.cpu.layout import MINUS_SUM
from quant.format import FORMATS


@device
def dequantize(block, out):
    d, none = one_f16(block, 0), np.float32(0)
    spread_i8(block + 2, out, d, none)
    spread_i8(block + 18, out + 64, d, none)


@device
def levels(w, part, g):
    return flip_signs(load_bytes(w + 32 + 64 * g))


@device
def factors(w, part):
    d = load_f16(w)
    return d, d, d, d


@inlined
def block(w, x, offset, total):
    sums = offset_sums(w, x, offset + MINUS_SUM, 7)
    for g in range(8):
        sums = dot(sums, flip_signs(load_bytes(w + 32 + 64 * g)), broadcast_i32(x, offset + 4 * g))
    return add_scaled(sums, load_f16(w), x, offset, total)


KERNELS = Quantized(
    FORMATS["Q8_0"],
    dequantize,
    levels,
    factors,
    offset=7,
    block=block,
)
