"""Layers with a state of fixed size: each thread takes some channels through every run."""

from ops.cpu.kernels.elementwise import share
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import load_i32, load_i64
from ops.cpu.kernels.simd.operations import LANES, fma, load_f32, load_some, store_some
from ops.cpu.kernels.simd.operations import store as store_f32
from ops.cpu.layout import RUN_STARTS, RUNS, SLOTS

# operands of convolve
X, Y, TAPS, BIAS, SLOT_OFFSET, WIDTH, COUNT = range(7)


def channels(load, store):
    """run(op, slot, first, count, begin, end): channels of one run, `lanes` in a register.

    Every token's result, then the rows kept for the next step.
    """

    @device
    def run(op, slot, first, count, begin, end, lanes):
        width, taps, bias = load_i64(op, WIDTH), load_i64(op, COUNT), load_i64(op, BIAS)
        weights, row_bytes = load_i64(op, TAPS), 4 * width
        x, y = load_i64(op, X) + row_bytes * first, load_i64(op, Y) + row_bytes * first
        before = slot + row_bytes * (taps - 1)  # rows before the run's first end here
        for t in range(count):
            for offset in range(4 * begin, 4 * end, 4 * LANES):
                total = load_some(bias + offset, lanes if bias != 0 else 0)
                for j in range(taps):
                    number = t - taps + 1 + j
                    row = (x if number >= 0 else before) + row_bytes * number
                    tap = load(weights + row_bytes * j + offset, lanes)
                    total = fma(tap, load(row + offset, lanes), total)
                store(y + row_bytes * t + offset, total, lanes)
        for j in range(taps - 1):
            number = count - taps + 1 + j
            row = (x if number >= 0 else before) + row_bytes * number
            for offset in range(4 * begin, 4 * end, 4 * LANES):
                store(slot + row_bytes * j + offset, load(row + offset, lanes), lanes)

    return run


AT_ONCE = 256  # channels: some lines of every row, which the processor then reads ahead
whole_load = device(lambda address, lanes: load_f32(address))
whole_store = device(lambda address, value, lanes: store_f32(address, value))
whole_registers = channels(whole_load, whole_store)  # masked stores take many times as long
some_lanes = channels(load_some, store_some)


def convolve(op, step, thread, threads):
    """A causal convolution of each channel; the order of a sum does not depend on the step."""
    begin, end = share(load_i64(op, WIDTH), thread, threads)
    whole = end - end % LANES
    starts, slots = load_i64(step, RUN_STARTS), load_i64(step, SLOTS)
    for run in range(load_i64(step, RUNS)):
        first = load_i32(starts, run)
        count = load_i32(starts, run + 1) - first
        slot = load_i64(slots, run) + load_i64(op, SLOT_OFFSET)
        for channel in range(begin, whole, AT_ONCE):
            stop = min(whole, channel + AT_ONCE)
            whole_registers(op, slot, first, count, channel, stop, LANES)
        if whole < end:
            some_lanes(op, slot, first, count, whole, end, end - whole)


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
