"""BF16: a number per column."""

from ops.cpu.kernels.formats.records import Floats
from ops.cpu.kernels.simd import memory, operations
from quant.format import FORMATS

KERNELS = Floats(FORMATS["BF16"], operations.load_bf16, memory.load_bf16)
