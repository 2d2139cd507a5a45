"""F16: a number per column."""

from ops.cpu.kernels.formats.records import Floats
from ops.cpu.kernels.simd import memory, operations
from quant.format import FORMATS

KERNELS = Floats(FORMATS["F16"], operations.load_f16, memory.load_f16)
