"""The machine's limits: how fast it reads memory, and multiplies each kind of numbers."""

from ops.cpu.instruction_sets.rung import ACTIVATIONS, SUMS, WEIGHTS
from ops.cpu.kernels.simd.addresses import rows
from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.dots import dot_small
from ops.cpu.kernels.simd.matrix_tiles import add_bf16_product, add_product, configure, release
from ops.cpu.kernels.simd.matrix_tiles import load as load_tile
from ops.cpu.kernels.simd.memory import load_i64
from ops.cpu.kernels.simd.operations import (
    LANES,
    add_int,
    broadcast_f32,
    broadcast_i32,
    dot_bf16,
    fma,
    int_zeros,
    load_bytes,
    load_f32,
    load_i32,
    prefetch,
    store,
    store_rows,
    zeros,
)

RUN = 256  # bytes per iteration of `read`
DEPTH = 12  # independent sums, to hide an instruction's latency
LOOP = 64  # vectors of 64 bytes that `multiply` repeats
AHEAD = 4096  # bytes from what is read to what is prefetched
TILE_BYTES = 1024  # of a whole tile
TILES_LOOP = 16  # how often `multiply_tiles` repeats four products

deep, ahead = rows(DEPTH), prefetch(RUN)
load_x, load_w = ([load_tile(tile, 64) for tile in tiles] for tiles in (ACTIVATIONS, WEIGHTS))
load_x0, load_x1, load_w0, load_w1 = *load_x, *load_w
configure_whole_tiles = configure(64)


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


def _multiplying(zeros, load, broadcast, dot):
    """Each thread: `rounds` passes over 64 registers in the cache, each added to every sum."""

    def multiply(op, step, thread, threads):
        source, rounds = load_i64(op, 0), load_i64(op, 1)
        sink = deep(load_i64(op, 2) + 64 * DEPTH * thread, 64)
        sums, x = zeros(sink, sink), broadcast(deep(source, 4), 0)
        for _ in range(rounds):
            for n in range(LOOP):
                sums = dot(sums, load(source + 64 * n), x)
        store_rows(sink, 0, sums, LANES)

    return multiply


@device
def _add_float_product(sums, w, x):
    return fma(w, x, sums)


multiply = _multiplying(int_zeros, load_bytes, broadcast_i32, dot_small)
multiply_bf16 = _multiplying(zeros, load_i32, broadcast_i32, dot_bf16)
multiply_floats = _multiplying(zeros, load_f32, broadcast_f32, _add_float_product)


def _multiplying_tiles(products):
    """As `_multiplying`: two tiles times two others in the cache, added to four sums."""
    multiply_0, multiply_1, multiply_2, multiply_3 = products

    def multiply(op, step, thread, threads):
        source, rounds = load_i64(op, 0), load_i64(op, 1)
        configure_whole_tiles()
        for _ in range(rounds):
            for _ in range(TILES_LOOP):
                load_x0(source, 64)
                load_x1(source + TILE_BYTES, 64)
                load_w0(source + 2 * TILE_BYTES, 64)
                load_w1(source + 3 * TILE_BYTES, 64)
                multiply_0()
                multiply_1()
                multiply_2()
                multiply_3()
        release()

    return multiply


OPERANDS = [(sums, ACTIVATIONS[n // 2], WEIGHTS[n % 2]) for n, sums in enumerate(SUMS)]
multiply_tiles = _multiplying_tiles([add_product(*each, 64) for each in OPERANDS])
multiply_bf16_tiles = _multiplying_tiles([add_bf16_product(*each) for each in OPERANDS])
