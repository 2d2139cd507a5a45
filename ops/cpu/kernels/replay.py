"""The replay loop: all threads run the program, share each operator, and wait at barriers."""

from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.memory import (
    atomic_add,
    atomic_load,
    atomic_store,
    call_c,
    call_kernel,
    load_i64,
    pause,
)
from ops.cpu.layout import (
    ARRIVED,
    CLOCK,
    FUTEX,
    GENERATION,
    HEADER_BYTES,
    STOP,
    STOPPED,
    TIMES,
    WAIT_FUNCTION,
    WAIT_KIND,
    WAIT_NUMBER,
)

SPINS = 2000  # more wastes CPU time, fewer sleeps and wakes by system calls too often
FUTEX_WAIT_PRIVATE, FUTEX_WAKE_PRIVATE = 128, 129
ALL_WAITERS = 1 << 30
CLOCK_MONOTONIC = 1


@device
def sleep_while(sync, generation):
    """Spins, then sleeps on the generation's address (futex) until it changes."""
    address, spins = sync + 8 * GENERATION, 0
    kind, function = load_i64(sync, WAIT_KIND), load_i64(sync, WAIT_FUNCTION)
    while atomic_load(address) == generation:
        if spins < SPINS:
            spins += 1
            pause()
        elif kind == FUTEX:
            call_c(function, load_i64(sync, WAIT_NUMBER), address, FUTEX_WAIT_PRIVATE, generation)
        else:
            call_c(function, 0, 0, 0, 0)


@device
def barrier(sync, threads):
    """Waits until all threads have arrived; the last one decides for all whether to stop."""
    generation = atomic_load(sync + 8 * GENERATION)
    if atomic_add(sync + 8 * ARRIVED, 1) == threads - 1:
        atomic_store(sync + 8 * ARRIVED, 0)
        atomic_store(sync + 8 * STOPPED, atomic_load(sync + 8 * STOP))
        atomic_add(sync + 8 * GENERATION, 1)
        if load_i64(sync, WAIT_KIND) == FUTEX:
            function, number = load_i64(sync, WAIT_FUNCTION), load_i64(sync, WAIT_NUMBER)
            call_c(function, number, sync + 8 * GENERATION, FUTEX_WAKE_PRIVATE, ALL_WAITERS)
    else:
        sleep_while(sync, generation)


def nothing(op, step, thread, threads):
    """The first call when operators are timed."""


@device
def reset_counters(program, first, last):
    """Resets the work counters of calls that all threads have finished."""
    for n in range(first, last):
        atomic_store(load_i64(program, 3 * n + 1) - HEADER_BYTES, 0)


def replay(program, count, step, thread, threads, sync):
    """`program`: triples (kernel, operands, whether a barrier follows); addresses.

    A stop flag ends it early for all threads. Times are (seconds, nanoseconds) per operator.
    """
    times, met = load_i64(sync, TIMES) if thread == 0 else 0, 0
    for n in range(count):
        kernel, operands = load_i64(program, 3 * n), load_i64(program, 3 * n + 1)
        call_kernel(kernel, operands, step, thread, threads)
        if load_i64(program, 3 * n + 2) != 0:
            barrier(sync, threads)
            if thread == 0:
                reset_counters(program, met, n + 1)
            met = n + 1
            if atomic_load(sync + 8 * STOPPED) != 0:
                return
        if times != 0:
            call_c(load_i64(sync, CLOCK), CLOCK_MONOTONIC, times + 16 * n, 0, 0)
