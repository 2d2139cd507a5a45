"""Layers with a state of fixed size: each thread takes some channels through every run."""

from ops.cpu.kernels.elementwise import ZERO, copied_row, product_row, share
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_i32, load_i64
from ops.cpu.kernels.simd.operations import LANES, fma, load_some, store, store_some
from ops.cpu.kernels.simd.operations import load_f32 as load
from ops.cpu.layout import RUN_STARTS, RUNS, SLOTS

# operands of convolve
X, Y, TAPS, BIAS, SLOT_OFFSET, WIDTH, COUNT = range(7)

CHANNELS = 512  # at a time: their taps and rows stay in the L1 cache


@device
def row_before(op, slot, first, number):
    """The address of row `number` of a run: in the step's rows, or in the slot if negative."""
    width, kept = load_i64(op, WIDTH), load_i64(op, COUNT) - 1
    if number < 0:
        return slot + 4 * width * (kept + number)
    return load_i64(op, X) + 4 * width * (first + number)


@device
def add_product(x, y, z, size):
    """z += x · y."""
    for i in range(0, size - LANES + 1, LANES):
        store(z + 4 * i, fma(load(x + 4 * i), load(y + 4 * i), load(z + 4 * i)))
    left, end = size % LANES, 4 * (size - size % LANES)
    if left != 0:
        total = load_some(z + end, left)
        total = fma(load_some(x + end, left), load_some(y + end, left), total)
        store_some(z + end, total, left)


@device
def convolve_token(op, slot, first, t, channel, size):
    """`size` channels of token t of a run, from `channel` on."""
    width, taps, offset = load_i64(op, WIDTH), load_i64(op, COUNT), 4 * channel
    y, bias = load_i64(op, Y) + 4 * width * (first + t) + offset, load_i64(op, BIAS)
    weights, oldest = load_i64(op, TAPS) + offset, t - taps + 1
    if bias != 0:
        copied_row(bias + offset, y, size, ZERO)
        add_product(weights, row_before(op, slot, first, oldest) + offset, y, size)
    else:
        product_row(weights, row_before(op, slot, first, oldest) + offset, y, size, ZERO)
    for j in range(1, taps):
        row = row_before(op, slot, first, oldest + j) + offset
        add_product(weights + 4 * j * width, row, y, size)


@device
def keep_rows(op, slot, first, count, begin, end):
    """Keeps a run's last rows for the next step."""
    width, taps = load_i64(op, WIDTH), load_i64(op, COUNT)
    for j in range(taps - 1):
        row = row_before(op, slot, first, count - taps + 1 + j)
        copied_row(row + 4 * begin, slot + 4 * (width * j + begin), end - begin, ZERO)


def convolve(op, step, thread, threads):
    """A causal convolution of each channel; the order of a sum does not depend on the step."""
    first_channel, last_channel = share(load_i64(op, WIDTH), thread, threads)
    starts, slots = load_i64(step, RUN_STARTS), load_i64(step, SLOTS)
    for run in range(load_i64(step, RUNS)):
        first = load_i32(starts, run)
        count = load_i32(starts, run + 1) - first
        slot = load_i64(slots, run) + load_i64(op, SLOT_OFFSET)
        for begin in range(first_channel, last_channel, CHANNELS):
            end = min(begin + CHANNELS, last_channel)
            for t in range(count):
                convolve_token(op, slot, first, t, begin, end - begin)
            keep_rows(op, slot, first, count, begin, end)


def shift(op, step, thread, threads):
    """Replaces each token's row by the row of the token before."""
    x, y, width = load_i64(op, 0), load_i64(op, 1), load_i64(op, 3)
    begin, end = share(width, thread, threads)
    starts, slots = load_i64(step, RUN_STARTS), load_i64(step, SLOTS)
    for run in range(load_i64(step, RUNS)):
        first, stop = load_i32(starts, run), load_i32(starts, run + 1)
        slot = load_i64(slots, run) + load_i64(op, 2)
        for channel in range(begin, end, LANES):
            lanes, offset = min(end - channel, LANES), 4 * channel
            before = load_some(slot + offset, lanes)
            for t in range(first, stop):
                row = 4 * width * t + offset
                now = load_some(x + row, lanes)
                store_some(y + row, before, lanes)
                before = now
            store_some(slot + offset, before, lanes)
