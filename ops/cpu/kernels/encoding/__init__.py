"""Encoders: rows of f32 to the bytes of a format, byte-equal to those of llama-quantize.

Every sum is in the order of the reference, and nothing is fused or re-associated. What is done at
once are 16 sub-blocks, one in each lane of a register (see `lanes`), so no order changes.

They are kernels of the CPU like those of the operators, so that a second run compiles nothing, and
a process that only calls them never imports Numba.
"""

from collections.abc import Callable

from ops.cpu.formats import ENCODE
from ops.cpu.kernels.encoding import few_bits, floats, grids, kquants, legacy, ternary_grids, uneven
from ops.cpu.kernels.encoding.rows import for_each_row

ENCODERS: dict[str, Callable[..., None]] = {
    ENCODE + name: for_each_row(encode_row)
    for family in (legacy, kquants, uneven, few_bits, floats, grids, ternary_grids)
    for name, encode_row in family.ENCODERS.items()
}
