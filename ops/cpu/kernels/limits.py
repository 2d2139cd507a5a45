"""The machine's limits: how fast it reads memory, and how fast it multiplies bytes."""

from ops.cpu.kernels.simd.addresses import rows
from ops.cpu.kernels.simd.dots import dot_small
from ops.cpu.kernels.simd.memory import load_i64
from ops.cpu.kernels.simd.operations import (
    LANES,
    add_int,
    broadcast_i32,
    int_zeros,
    load_bytes,
    load_i32,
    prefetch,
    store,
    store_rows,
)

RUN = 256  # bytes per iteration of `read`
DEPTH = 12  # independent sums, to hide an instruction's latency
LOOP = 64  # vectors of 64 bytes that `multiply` repeats
AHEAD = 4096  # bytes from what is read to what is prefetched

deep, ahead = rows(DEPTH), prefetch(RUN)


def read(op, step, thread, threads):
    """Loads each byte of (runs, 256) into a register once; the threads share the runs."""
    source, runs, sink = load_i64(op, 0), load_i64(op, 1), load_i64(op, 2) + 64 * thread
    zero = int_zeros(sink, sink)
    a, b, c, d = zero, zero, zero, zero
    for run in range(runs * thread // threads, runs * (thread + 1) // threads):
        place = source + RUN * run
        ahead(place + AHEAD)
        a, b = add_int(a, load_i32(place)), add_int(b, load_i32(place + 64))
        c, d = add_int(c, load_i32(place + 128)), add_int(d, load_i32(place + 192))
    store(sink, add_int(add_int(a, b), add_int(c, d)))


def multiply(op, step, thread, threads):
    """Each thread: `rounds` passes over 64 vectors in the cache, each added to every sum."""
    source, rounds = load_i64(op, 0), load_i64(op, 1)
    sink = deep(load_i64(op, 2) + 64 * DEPTH * thread, 64)
    sums, x = int_zeros(sink, sink), broadcast_i32(deep(source, 4), 0)
    for _ in range(rounds):
        for n in range(LOOP):
            sums = dot_small(sums, load_bytes(source + 64 * n), x)
    store_rows(sink, 0, sums, LANES)
