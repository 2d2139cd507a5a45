"""Eight scales and eight minima of six bits each in 12 bytes, as in Q4_K and Q5_K."""

import numpy as np

from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_u8 as one_u8
from ops.cpu.kernels.simd.operations import (
    and_int,
    load_f16,
    load_i32,
    multiply,
    or_int,
    shift_right,
    to_float,
)


@device
def scale_of_group(scales, group):
    """The scale of a group of 32."""
    if group < 4:
        return np.float32(one_u8(scales, group) & 63)
    low, high = one_u8(scales, group + 4) & 15, one_u8(scales, group - 4) >> 6
    return np.float32(low | high << 4)


@device
def minimum_of_group(scales, group):
    if group < 4:
        return np.float32(one_u8(scales, group + 4) & 63)
    low, high = one_u8(scales, group + 4) >> 4, one_u8(scales, group) >> 6
    return np.float32(low | high << 4)


@device
def later_four(nibbles, upper):
    """Scales 4-7: low nibbles here, two bits above those of the first four."""
    return or_int(and_int(nibbles, 0x0F0F0F0F), and_int(shift_right(upper, 2), 0x30303030))


@device
def six_bit_factors(w, part):
    """Scale and minimum of a part: byte part % 4 of words of scales and of minima."""
    d, dmin = load_f16(w), load_f16(w + 32)
    upper, lower, rest = load_i32(w + 64), load_i32(w + 128), load_i32(w + 192)
    if part < 4:
        scales, minima = and_int(upper, 0x3F3F3F3F), and_int(lower, 0x3F3F3F3F)
    else:
        scales, minima = later_four(rest, upper), later_four(shift_right(rest, 4), lower)
    scale = multiply(d, to_float(and_int(shift_right(scales, part % 4 * 8), 255)))
    minimum = multiply(dmin, to_float(and_int(shift_right(minima, part % 4 * 8), 255)))
    return scale, scale, minimum, minimum
