"""Products of a panel with activations, block by block or column by column."""

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


def block_panel(kernels):
    """panel(w, x, columns): the sums of 16 rows with each token's quantized activations.

    Each tile of tokens prefetches again. Only the first has to; but a branch, or a second loop
    without, costs far more than prefetching what is already in the core's cache.
    """
    block, weights = kernels.block, kernels.format.block_size
    panel_bytes = PANEL_ROWS * kernels.format.block_bytes
    x_bytes = weights // ACTIVATION_BLOCK * ACTIVATION_BYTES
    ahead = prefetch_panels(panel_bytes)

    @inlined
    def panel(w, x, columns):
        total = zeros(w, x)
        for b in range(columns // weights):
            ahead(w, b * panel_bytes + BYTES_AHEAD)
            total = block(w + b * panel_bytes, x, b * x_bytes, total)
        return total

    return panel


def float_panel(kernels):
    """As block_panel, with exact activations; even and odd columns are summed apart."""
    load_two, load_last = kernels.load_two, kernels.load_last
    column_bytes = PANEL_ROWS * kernels.format.block_bytes
    ahead = prefetch_panels(2 * column_bytes)

    @device
    def panel(w, x, columns):
        even, odd = zeros(w, x), zeros(w, x)
        for c in range(columns // 2):
            address = w + 2 * c * column_bytes
            ahead(address, BYTES_AHEAD)
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
    ahead = prefetch_panels(2 * PAIR_BYTES)

    @device
    def panel(w, x, columns):
        even, odd = zeros(w, x), zeros(w, x)
        pairs = columns // 2
        for p in range(0, pairs - 1, 2):
            address = w + p * PAIR_BYTES
            ahead(address, BYTES_AHEAD)
            even = dot_bf16(even, load_i32(address), broadcast_i32(x, 4 * p))
            odd = dot_bf16(odd, load_i32(address + PAIR_BYTES), broadcast_i32(x, 4 * p + 4))
        if pairs % 2 != 0:
            last = w + (pairs - 1) * PAIR_BYTES
            even = dot_bf16(even, load_i32(last), broadcast_i32(x, 4 * (pairs - 1)))
        if columns % 2 != 0:
            odd = dot_bf16(odd, load_u16(w + pairs * PAIR_BYTES), broadcast_i32(x, 4 * pairs))
        return add(even, odd)

    return panel
