"""What a file of a format holds: how kernels read it, beside what quant.Format says of its sizes.

A panel is 16 rows of a weight, one per lane, interleaved word by word: byte o of a row's block is
at byte 16·o of the panel's block, where the 16 rows' words (or half words, or bytes) follow each
other. So a panel holds exactly the bits of the file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from quant.format import Format

Device = Callable[..., Any]  # a function that Numba compiles


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """Blocks of levels and scales, multiplied by quantized activations (layout.py draws them)."""

    format: Format
    dequantize: Device
    """(block, out): writes a block, as the file holds it, as float32 from the address `out` on."""
    levels: Device
    """(w, part, g) -> bytes: the unsigned levels of columns 4g .. 4g + 3 of a part of 32 columns.

    w holds the addresses of the panels' blocks.
    """
    factors: Device
    """(w, part) -> (f32, f32, f32, f32): the part's scales and minima, each of its first and last
    16 columns."""
    offset: int | None
    """Levels are 2^offset too high (7: they fill a byte); None where the part has minima."""
    scales: int = 1
    """A part's: 2 where the first and the last 16 columns differ."""
    block: Device | None = None
    """(w, x, offset, total) -> total: a whole block at once, where that is faster than unpacking
    its parts for many tokens. The same sums as by `levels` and `factors`.

    Adds its products to the totals, a register for each panel and token: x holds the addresses of
    the tokens' activations, which start `offset` bytes later.
    """


@dataclass(frozen=True, slots=True, eq=False)
class Floats:
    """Plain numbers, multiplied by exact activations, or as pairs of BF16 where the rung does."""

    format: Format
    load_two: Device  # (w) -> (f32, f32): two columns of each panel
    load_last: Device  # (w) -> f32: the last column of each panel, if their number is odd
    load_one: Device  # (row, column) -> f32: a weight as the file holds it
