"""F16: a number per column."""

from ops.cpu.kernels.formats.records import Floats
from ops.cpu.kernels.simd import memory
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.operations import load_f16
from quant.format import FORMATS


@device
def load_two(w):
    return load_f16(w), load_f16(w + 32)


KERNELS = Floats(FORMATS["F16"], load_two, load_f16, memory.load_f16)
