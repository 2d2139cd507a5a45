"""Products of a panel with activations, block by block or column by column."""

from typing import NamedTuple

from ops.cpu.kernels.simd.addresses import rows_in
from ops.cpu.kernels.simd.compiler import device, inlined
from ops.cpu.kernels.simd.operations import (
    add,
    broadcast_f32,
    broadcast_i32,
    dot_bf16,
    fma,
    load_i32,
    load_u16,
    prefetch_panels,
    zeros,
)
from ops.cpu.layout import ACTIVATION_BLOCK, ACTIVATION_BYTES, PANEL_ROWS

PAIR_BYTES = 4 * PANEL_ROWS  # of two columns in BF16
BYTES_AHEAD = 4608  # from what is read to what is prefetched
MOST_SHARES = 8  # smaller ones would not advance by a byte for each column


class Prefetch(NamedTuple):
    """What a product prefetches: one of so many `shares` of a panel, `offset` bytes behind w.

    From `end` on, `jump` bytes later.
    """

    offset: int
    shares: int
    end: int
    jump: int


@device
def prefetch_of(tile, tiles, panel_bytes, distance):
    """What one of the tiles of tokens prefetches, that go through a panel one after the other.

    The thread's next panel is `distance` bytes behind. A single tile reads the panel from memory,
    a little behind its prefetching. Of several, all but the first find it in the core's cache. So
    that memory is read all the time, not in bursts, each prefetches a share of the next panel,
    unless they are so many that it does not matter.
    """
    if tiles == 1:
        return Prefetch(BYTES_AHEAD, 1, panel_bytes, distance - panel_bytes)
    shares = min(tiles, MOST_SHARES)
    offset = distance + panel_bytes // shares * min(tile, shares - 1)
    return Prefetch(offset, shares, offset + panel_bytes, 0)


@device
def place_ahead(ahead, offset):
    """Where to prefetch when what lies `offset` bytes behind w, or a share of that, is read."""
    place = ahead.offset + offset
    return place + ahead.jump if place >= ahead.end else place


def block_panel(kernels):
    """panel(w, x, columns, ahead): the sums of 16 rows with each token's quantized activations.

    `ahead` is its Prefetch. A share is prefetched line by line as a whole panel is, though lines
    overlap: a branch, or another loop, costs far more than prefetching what is in the cache.
    Several tokens wait less for a block if they prefetch behind it, one token if before.
    """
    block, weights = kernels.block, kernels.format.block_size
    panel_bytes = PANEL_ROWS * kernels.format.block_bytes
    x_bytes = weights // ACTIVATION_BLOCK * ACTIVATION_BYTES
    fetch = prefetch_panels(panel_bytes)

    @inlined
    def panel(w, x, columns, ahead):
        total, step = zeros(w, x), panel_bytes // ahead.shares
        for b in range(columns // weights):
            if rows_in(x) == 1:
                fetch(w, place_ahead(ahead, b * step))
            total = block(w + b * panel_bytes, x, b * x_bytes, total)
            if rows_in(x) > 1:
                fetch(w, place_ahead(ahead, b * step))
        return total

    return panel


def float_panel(kernels):
    """As block_panel, with exact activations; even and odd columns are summed apart."""
    load_two, load_last = kernels.load_two, kernels.load_last
    column_bytes = PANEL_ROWS * kernels.format.block_bytes
    fetch = prefetch_panels(2 * column_bytes)

    @device
    def panel(w, x, columns, ahead):
        even, odd = zeros(w, x), zeros(w, x)
        step = 2 * column_bytes // ahead.shares
        for c in range(columns // 2):
            address = w + 2 * c * column_bytes
            fetch(w, place_ahead(ahead, c * step))
            first, second = load_two(address)
            even = fma(first, broadcast_f32(x, 8 * c), even)
            odd = fma(second, broadcast_f32(x, 8 * c + 4), odd)
        if columns % 2 != 0:
            last = w + (columns - 1) * column_bytes
            even = fma(load_last(last), broadcast_f32(x, 4 * (columns - 1)), even)
        return add(even, odd)

    return panel


def bf16_panel():
    """As float_panel, with activations in BF16; every other pair of columns is summed apart."""
    fetch = prefetch_panels(2 * PAIR_BYTES)

    @device
    def panel(w, x, columns, ahead):
        even, odd = zeros(w, x), zeros(w, x)
        pairs, step = columns // 2, PAIR_BYTES // ahead.shares
        for p in range(0, pairs - 1, 2):
            address = w + p * PAIR_BYTES
            fetch(w, place_ahead(ahead, p * step))
            even = dot_bf16(even, load_i32(address), broadcast_i32(x, 4 * p))
            odd = dot_bf16(odd, load_i32(address + PAIR_BYTES), broadcast_i32(x, 4 * p + 4))
        if pairs % 2 != 0:
            last = w + (pairs - 1) * PAIR_BYTES
            even = dot_bf16(even, load_i32(last), broadcast_i32(x, 4 * (pairs - 1)))
        if columns % 2 != 0:
            odd = dot_bf16(odd, load_u16(w + pairs * PAIR_BYTES), broadcast_i32(x, 4 * pairs))
        return add(even, odd)

    return panel
