"""Launches of one attention operator: storing into the cache, and attention over its blocks.

For few tokens the context is split over several thread blocks, which would else leave the card
idle: their partial results go to scratch, and a last launch merges them. Both ways give the same
bits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ops.cuda.cache import WIDEST, CardStateLayout
from ops.cuda.device.device import Launch
from ops.cuda.kernels.attention import heads as head_kernels
from ops.cuda.kernels.attention import partials
from ops.cuda.kernels.attention.attend import record_bytes
from ops.cuda.kernels.attention.cached import padded
from ops.cuda.kernels.intrinsics.kernel import operands_of
from ops.cuda.kernels.operands import (
    Attention,
    CachePlace,
    HeadNorms,
    HeadRows,
    MergeAttention,
    NormRopeStore,
    Rotation,
    SplitAttention,
    WholeAttention,
)
from ops.interface import BLOCK, Heads

SPLIT_TOKENS = 16  # the most tokens of a step whose context is split
MOST_SCRATCH = 64 << 20  # bytes of partial results; beyond it the context is not split
NO_WINDOW = 1 << 30  # positions
LOG2_E = math.log2(math.e)

NO_NORMS = HeadNorms(0, 0, 0.0)
NO_ROTATION = Rotation(0, pairs=0, interleaved=0)

TileShape = tuple[int, int]
"""Tokens per tile of queries, and tiles per token."""


@dataclass(frozen=True, slots=True)
class AttentionStep:
    """Addresses of the step's arrays that attention reads.

    tables int64 (T,): the address of each token's table of block addresses, int64; positions int32
    (T,): negative for padding rows; tiles int32 (n, 4) as of `tiles`, for the layer's group.
    """

    tables: int
    positions: int
    tiles: int
    tile_count: int


def norm_rope_store(
    heads: Heads,
    layout: CardStateLayout,
    tokens: int,
    step: AttentionStep,
    rows: HeadRows,
    norms: HeadNorms = NO_NORMS,
    rotation: Rotation = NO_ROTATION,
) -> Launch:
    """Norms and rotates q and k, and stores k and v at the tokens' positions in the cache."""
    warps = min(tokens, head_kernels.THREADS // 32)
    grid = heads.query_heads + 2 * heads.kv_heads, -(-tokens // warps), 1
    record = NormRopeStore(
        rows=rows,
        norms=norms,
        rotation=rotation,
        cache=_cache_place(step, layout, heads),
        tokens=tokens,
        query_heads=heads.query_heads,
        kv_heads=heads.kv_heads,
        width=heads.head_width,
    )
    name = f"norm_rope_store_{layout.k}_{layout.v}"
    shared = 4 * padded(heads.head_width) * warps
    return Launch(name, grid, 32 * warps, operands_of(record), shared)


def _cache_place(step: AttentionStep, layout: CardStateLayout, heads: Heads) -> CachePlace:
    return CachePlace(step.tables, step.positions, *layout.offsets(heads.layer))


def slots(heads: Heads, blocks: int) -> int:
    """The most blocks of a context of `blocks` that one token of this layer sees."""
    if heads.window is None:
        return blocks
    return min(blocks, (heads.window - 2) // BLOCK + 2)


def scratch_bytes(heads: Heads, tokens: int, blocks: int) -> int:
    """Bytes of a step's partial results; 0 if it is not split."""
    return _scratch(heads, tokens, blocks) if splits(heads, tokens, blocks) else 0


def splits(heads: Heads, tokens: int, blocks: int) -> bool:
    """Whether a token's context is split over thread blocks."""
    few = tokens <= SPLIT_TOKENS and blocks > 1
    return few and _scratch(heads, tokens, blocks) <= MOST_SCRATCH


def _scratch(heads: Heads, tokens: int, blocks: int) -> int:
    record = record_bytes(padded(heads.head_width))
    return tokens * heads.query_heads * slots(heads, blocks) * record


def tiles_of(heads: Heads) -> TileShape:
    """Tokens per tile and tiles per token; layers with equal shapes share an array of tiles."""
    group = heads.query_heads // heads.kv_heads
    return max(1, partials.ROWS // group), -(-group // partials.ROWS)


def most_tiles(heads: Heads, tokens: int) -> int:
    """The most tiles of a step, however its tokens are spread over sequences."""
    return tokens * tiles_of(heads)[1]


def tiles(shape: TileShape, starts: Sequence[int], tokens: int, count: int) -> NDArray[np.int32]:
    """(count, 4): first token, tokens, part, 0; the tiles of all sequences, then empty ones."""
    size, parts = shape
    made = [
        (first, min(size, stop - first), part, 0)
        for start, stop in zip(starts, (*starts[1:], tokens), strict=True)
        for first in range(start, stop, size)
        for part in range(parts)
    ]
    array = np.zeros((count, 4), np.int32)
    array[: len(made)] = made[::-1]  # the longest contexts begin first
    return array


def kernels_of(heads: Heads, layout: CardStateLayout) -> tuple[str, ...]:
    """All kernels that one attention operator may need."""
    suffix = f"{layout.k}_{layout.v}_{padded(heads.head_width)}"
    return f"attention_whole_{suffix}", f"attention_split_{suffix}", "attention_merge"


@dataclass(frozen=True, slots=True)
class AttentionBuffers:
    """Addresses: queries (T, H·d), where the result goes, scratch (0: none), sinks (H,) or 0."""

    q: int
    y: int
    scratch: int
    sinks: int = 0
    quantized: int = 0  # written instead of y by the split way


def attend(
    heads: Heads,
    layout: CardStateLayout,
    tokens: int,
    blocks: int,
    step: AttentionStep,
    buffers: AttentionBuffers,
) -> list[Launch]:
    """`blocks`: at least as many as the longest context of this step has."""
    width = padded(heads.head_width)
    assert width <= WIDEST and heads.head_width % 2 == 0, heads
    attention = _attention(heads, layout, step, buffers.q)
    suffix = f"{layout.k}_{layout.v}_{width}"
    shared, threads = partials.shared_bytes(width), partials.THREADS
    if not splits(heads, tokens, blocks):
        whole = operands_of(WholeAttention(attention, buffers.y, buffers.sinks))
        grid = heads.kv_heads, step.tile_count, 1
        return [Launch(f"attention_whole_{suffix}", grid, threads, whole, shared)]
    count = slots(heads, blocks)
    grid = heads.kv_heads, step.tile_count, count
    split = operands_of(SplitAttention(attention, buffers.scratch, count))
    merge = MergeAttention(
        scratch=buffers.scratch,
        y=buffers.y,
        sinks=buffers.sinks,
        positions=step.positions,
        query_heads=heads.query_heads,
        width=heads.head_width,
        padded_width=width,
        window=attention.window,
        slots=count,
        quantized=buffers.quantized,
    )
    return [
        Launch(f"attention_split_{suffix}", grid, threads, split, shared),
        Launch("attention_merge", (heads.query_heads, tokens, 1), width, operands_of(merge)),
    ]


def _attention(heads: Heads, layout: CardStateLayout, step: AttentionStep, q: int) -> Attention:
    """Scores are to the base 2; with a soft cap c the kernel takes tanh of `factor` times them."""
    factor, cap = heads.scale * LOG2_E, 0.0
    if heads.softcap is not None:
        factor, cap = heads.scale / heads.softcap, heads.softcap * LOG2_E
    return Attention(
        q=q,
        cache=_cache_place(step, layout, heads),
        tiles=step.tiles,
        query_heads=heads.query_heads,
        group=heads.query_heads // heads.kv_heads,
        width=heads.head_width,
        window=heads.window or NO_WINDOW,
        factor=factor,
        cap=cap,
    )
