"""BF16: a number per column, those of two columns side by side (ops/cpu/weights/packing.py)."""

from ops.cpu.kernels.formats.records import Floats
from ops.cpu.kernels.simd import memory
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.operations import (
    and_int,
    bits_to_float,
    load_bf16,
    load_i32,
    shift_left,
)
from quant.format import FORMATS

UPPER_HALF = -1 << 16


@device
def load_two(w):
    pairs = load_i32(w)
    return bits_to_float(shift_left(pairs, 16)), bits_to_float(and_int(pairs, UPPER_HALF))


KERNELS = Floats(FORMATS["BF16"], load_two, load_bf16, memory.load_bf16)
