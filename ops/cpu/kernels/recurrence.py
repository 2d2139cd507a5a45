"""Layers with a state of fixed size: each thread takes some channels through every run."""

from ops.cpu.kernels.elementwise import share
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_i32, load_i64
from ops.cpu.kernels.simd.operations import LANES, fma, load_some, store_some
from ops.cpu.layout import RUN_STARTS, RUNS, SLOTS

# operands of convolve
X, Y, TAPS, BIAS, SLOT_OFFSET, WIDTH, COUNT = range(7)


@device
def row_before(op, slot, first, number):
    """The address of row `number` of a run: in the step's rows, or in the slot if negative."""
    width, kept = load_i64(op, WIDTH), load_i64(op, COUNT) - 1
    if number < 0:
        return slot + 4 * width * (kept + number)
    return load_i64(op, X) + 4 * width * (first + number)


@device
def convolve_channels(op, slot, first, count, channel, lanes):
    """Some channels of one run: every token's result, then the rows kept for the next step."""
    width, taps, offset = load_i64(op, WIDTH), load_i64(op, COUNT), 4 * channel
    for t in range(count):
        bias = load_i64(op, BIAS)
        total = load_some(bias + offset, lanes if bias != 0 else 0)
        for j in range(taps):
            row = row_before(op, slot, first, t - taps + 1 + j)
            tap = load_some(load_i64(op, TAPS) + 4 * j * width + offset, lanes)
            total = fma(tap, load_some(row + offset, lanes), total)
        store_some(load_i64(op, Y) + 4 * width * (first + t) + offset, total, lanes)
    for j in range(taps - 1):
        row = row_before(op, slot, first, count - taps + 1 + j)
        store_some(slot + 4 * width * j + offset, load_some(row + offset, lanes), lanes)


def convolve(op, step, thread, threads):
    """A causal convolution of each channel; the order of a sum does not depend on the step."""
    begin, end = share(load_i64(op, WIDTH), thread, threads)
    starts, slots = load_i64(step, RUN_STARTS), load_i64(step, SLOTS)
    for run in range(load_i64(step, RUNS)):
        first = load_i32(starts, run)
        count = load_i32(starts, run + 1) - first
        slot = load_i64(slots, run) + load_i64(op, SLOT_OFFSET)
        for channel in range(begin, end, LANES):
            convolve_channels(op, slot, first, count, channel, min(end - channel, LANES))


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
