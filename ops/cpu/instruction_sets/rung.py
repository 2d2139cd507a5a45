"""A rung of the ladder of instruction sets: everything in which one differs from another.

Emitters write LLVM IR: they take its builder and values, and return a value. Registers hold 16
lanes of 32 bits or 64 bytes, whatever the machine's width: LLVM splits what is wider.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Builder = Any  # llvmlite.ir.IRBuilder
Value = Any  # llvmlite.ir.Value

Dot = Callable[[Builder, Value, Value, Value], Value]
"""(i32 totals, 64 weights, 64 signed bytes): each lane of the totals gains four products."""

DotBf16 = Callable[[Builder, Value, Value, Value], Value]
"""(f32 totals, 16 pairs of weights, 16 pairs of activations, all BF16): each lane of the totals
gains the product of the second numbers of its pairs, then that of the first ones. Each sum is
rounded to the nearest f32; numbers below 2^-126 count as zero."""

MultiplyPairs = Callable[[Builder, Value, Value, Value], Value]
"""(2 x 2 i32 sums, two rows of 8 signed levels, two of 8 signed bytes): each sum gains eight
products: 0 and 1 of the first row of levels with either row of bytes, 2 and 3 of the second."""


SUMS, ACTIVATIONS, WEIGHTS = (0, 1, 2, 3), (4, 5), (6, 7)
"""The tiles of a processor by number: what kernels keep in each."""


@dataclass(frozen=True, slots=True)
class MatrixTile:
    """Emitters for tiles: registers of 16 rows, that multiply matrices of bytes or of BF16.

    A product of bytes has 16 rows (tokens) of `columns` signed activations, `columns` / 4 rows
    (groups of columns) of 16 x 4 unsigned weights, and gives 16 rows of 16 int32 sums. So the
    levels of an unpacked part of a panel are a tile of weights. A product of BF16 has a pair of
    numbers in place of 4 bytes, and float32 sums: 32 columns of a panel are a tile of weights. A
    row of a tile in memory is `stride` bytes after the one before.
    """

    configure: Callable[[Builder, int], None]
    """For rows of activations of so many bytes; clears all tiles."""
    release: Callable[[Builder], None]
    zero: Callable[[Builder, int], None]
    load: Callable[[Builder, int, int, Value, Value], None]
    """(tile, bytes of a row of activations, address, stride)"""
    multiply: Callable[[Builder, int, int, int, int], None]
    """(sums, activations, weights, columns): adds the product of two tiles of bytes to the sums."""
    multiply_bf16: Callable[[Builder, int, int, int], None]
    """(sums, activations, weights): the same of 32 columns in BF16. A row of activations gives the
    same sums whatever the other rows are."""
    store: Callable[[Builder, int, Value, Value], None]  # sums, address, stride


@dataclass(frozen=True, slots=True)
class Rung:
    """A set of instructions by LLVM's names, its emitters, and what it asks of the process."""

    name: str
    processor: str  # LLVM's name of a processor model
    features: str  # beyond that model's
    needs: frozenset[str]  # features that a machine must have to run it
    dot: Dot  # for weights of 0 .. 255
    dot_small: Dot  # for weights of 0 .. 127
    lookup: Callable[[Builder, Value, Sequence[int]], Value]  # 64 bytes of 0 .. 15: table[byte]
    lookup_halves: Callable[[Builder, Value, Sequence[int]], Value]
    """16 words, each half of them the number of an entry of 16 bits: the entries."""
    fma: Callable[[Builder, Value, Value, Value], Value]  # a·b + c
    widen_half: Callable[[Builder, Value], Value]  # bits of f16, as i16 -> f32
    narrow_half: Callable[[Builder, Value], Value]  # f32 -> bits of the nearest f16
    pause: Callable[[Builder], None]  # tells the core that this thread only waits
    tokens: int = 1  # whose sums for two panels fit into the registers
    queries: int = 1  # whose sums fit there for as many registers of positions
    matrix_tile: MatrixTile | None = None  # for products with many tokens
    multiply_pairs: MultiplyPairs | None = None  # for products with several tokens
    dot_bf16: DotBf16 | None = None
    """None: weights in BF16 meet exact activations, unless matrix tiles multiply them."""
    rotate: Callable[[Builder, Value, Value], Value] | None = None
    """Each word to the right by a count of bits; None where it takes more than two shifts."""
    prepare_process: Callable[[], None] | None = None
    """Called before the rung is chosen, and may be again. Raises LeptonError where the process may
    not run it."""
