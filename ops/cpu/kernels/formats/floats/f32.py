"""F32: a number per column."""

from ops.cpu.kernels.formats.records import Floats
from ops.cpu.kernels.simd import memory
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.operations import load_f32
from quant.format import FORMATS


@device
def load_two(w):
    return load_f32(w), load_f32(w + 64)


KERNELS = Floats(FORMATS["F32"], load_two, load_f32, memory.load_f32)
