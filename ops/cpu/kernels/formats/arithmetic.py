"""The steps that products with quantized weights share."""

from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.operations import (
    add_int,
    and_int,
    as_bytes,
    broadcast_f32,
    broadcast_i32,
    fma,
    int_zeros,
    move_bits,
    multiply,
    shift_left,
    to_float,
)
from ops.cpu.layout import MINUS_SCALED_SUM, SCALE


@device
def offset_sums(w, x, offset, bits):
    """Where sums start if levels are 2^bits too high: the activations' negated sum, times that."""
    return add_int(int_zeros(w, x), shift_left(broadcast_i32(x, offset), bits))


@device
def add_scaled(sums, d, x, offset, total):
    """total + sums · d · the activations' scale."""
    return fma(to_float(sums), multiply(d, broadcast_f32(x, offset + SCALE)), total)


@device
def subtract_minimum(minimum, x, offset, total):
    """total - minimum · the sum of the block's activations."""
    return fma(minimum, broadcast_f32(x, offset + MINUS_SCALED_SUM), total)


@device
def bits_of(words, first, mask, to):
    """The bits `first` and up of each byte, masked, moved up by `to`."""
    return as_bytes(and_int(move_bits(words, first, to), mask << to))
