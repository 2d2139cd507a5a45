"""IQ4_NL: | d f16 | nibbles 16 |, levels by a table."""

from ops.cpu.kernels.formats.arithmetic import add_scaled
from ops.cpu.kernels.formats.records import Quantized
from ops.cpu.kernels.formats.tables.nibble_table import spread_iq4, table_levels, table_sums
from ops.cpu.kernels.simd.compiler import device, inlined
from ops.cpu.kernels.simd.memory import load_f16 as one_f16
from ops.cpu.kernels.simd.operations import load_f16
from quant.format import FORMATS


@device
def dequantize(block, out):
    spread_iq4(block + 2, out, one_f16(block, 0))


@device
def levels(w, part, g):
    return table_levels(w + 32, g)


@device
def factors(w, part):
    d = load_f16(w)
    return d, d, d, d


@inlined
def block(w, x, offset, total):
    return add_scaled(table_sums(w + 32, x, offset), load_f16(w), x, offset, total)


KERNELS = Quantized(
    FORMATS["IQ4_NL"],
    dequantize,
    levels,
    factors,
    offset=7,
    block=block,
)
