"""F32: a number per column."""

from ops.cpu.kernels.formats.records import Floats
from ops.cpu.kernels.simd import memory, operations
from quant.format import FORMATS

KERNELS = Floats(FORMATS["F32"], operations.load_f32, memory.load_f32)
