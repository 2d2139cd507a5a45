"""The SIMD layer against NumPy, on the rung in use: the same integers, nearly the same floats."""

import ctypes
import os
from itertools import pairwise

import numpy as np
import pytest

from ops.cpu.compiling import aim
from ops.cpu.kernels.simd.addresses import (
    pair,
    row,
    rows,
)
from ops.cpu.kernels.simd.compiler import c_function
from ops.cpu.kernels.simd.dots import dot, dot_small, lookup
from ops.cpu.kernels.simd.memory import claim_range, store_i32
from ops.cpu.kernels.simd.memory import load_f16 as load_one_f16
from ops.cpu.kernels.simd.memory import load_f32 as load_one
from ops.cpu.kernels.simd.memory import store_f16 as store_one_f16
from ops.cpu.kernels.simd.memory import store_f32 as store_one_f32
from ops.cpu.kernels.simd.operations import (
    add,
    as_bytes,
    broadcast_f32,
    first_panel,
    fma,
    int_zeros,
    load_bytes,
    load_f16,
    load_f32,
    load_i32,
    load_some,
    reduce_add,
    reduce_max,
    second_panel,
    store,
    store_f16,
    store_rows,
    store_some,
    swap_pairs,
)
from ops.cpu.kernels.simd.vectors import exp, gelu, mean, mean_square, sigmoid, tanh
from ops.cpu.layout import HEADER_BYTES
from ops.cpu.processor import host_features
from ops.cpu.rungs import choose_rung

RANDOM = np.random.default_rng(5)
TABLE = [7, 0, 255, 128, 1, 2, 3, 4, 250, 100, 50, 25, 12, 6, 127, 129]
levels = lookup(TABLE)
three_rows = rows(3)


@pytest.fixture(autouse=True)
def rung():
    aim(choose_rung(host_features(), os.environ))


def run(function, *arguments):
    """Compiles a function of addresses and calls it; arrays are passed by their addresses."""
    compiled = c_function(function, len(arguments))
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * len(arguments))(compiled.address)
    call(*(a.ctypes.data if isinstance(a, np.ndarray) else a for a in arguments))


def floats(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(("product", "highest"), [(dot, 255), (dot_small, 127)])
def test_dot_products_are_exact_at_the_ends_of_their_ranges(product, highest):
    def kernel(weights, x, out):
        store(out, product(load_i32(out), load_bytes(weights), load_i32(x)))

    for w_edge, x_edge in ((0, 127), (highest, -128), (highest, 127), (None, None)):
        weights = RANDOM.integers(0, highest + 1, 64).astype(np.uint8)
        x = RANDOM.integers(-128, 128, 64).astype(np.int8)
        if w_edge is not None:
            weights[:], x[:] = w_edge, x_edge
        start = RANDOM.integers(-(2**20), 2**20, 16).astype(np.int32)
        out = start.copy()
        run(kernel, weights, x, out)
        products = weights.astype(np.int32) * x.astype(np.int32)
        np.testing.assert_array_equal(out, start + products.reshape(16, 4).sum(1))


def test_a_table_is_looked_up_byte_by_byte():
    def kernel(source, out):
        store(out, levels(load_bytes(source)))

    source, out = RANDOM.integers(0, 16, 64).astype(np.uint8), np.zeros(64, np.uint8)
    run(kernel, source, out)
    np.testing.assert_array_equal(out, np.array(TABLE, np.uint8)[source])


def test_every_half_is_widened_exactly():
    def vectors(source, out):
        for i in range(0, 65536, 16):
            store(out + 4 * i, load_f16(source + 2 * i))

    def scalars(source, out):
        for i in range(65536):
            store_one_f32(out, i, load_one_f16(source, i))

    halves = np.arange(65536, dtype=np.uint16)
    with np.errstate(invalid="ignore"):
        want = halves.view(np.float16).astype(np.float32)
    for kernel in (vectors, scalars):
        out = np.zeros(65536, np.float32)
        run(kernel, halves, out)
        np.testing.assert_array_equal(out, want)


def test_floats_are_narrowed_to_the_nearest_half():
    def vectors(source, out):
        for i in range(0, 65536, 16):
            store_f16(out + 2 * i, load_f32(source + 4 * i))

    def scalars(source, out):
        for i in range(65536):
            store_one_f16(out, i, load_one(source, i))

    values = np.ldexp(RANDOM.uniform(0.5, 1, 65536), RANDOM.integers(-30, 20, 65536))
    values = (values * RANDOM.choice([-1, 1], 65536)).astype(np.float32)
    ties = (np.arange(16, dtype=np.uint16) + 1000).view(np.float16).astype(np.float32)
    values[:15] = [(a + b) / 2 for a, b in pairwise(ties)]  # halfway: to even
    values[20:26] = [65504, 65519, 65520, np.inf, -np.inf, 0]
    with np.errstate(over="ignore"):
        want = values.astype(np.float16).view(np.uint16)
    for kernel in (vectors, scalars):
        out = np.zeros(65536, np.uint16)
        run(kernel, values, out)
        np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize(
    ("function", "definition", "tolerance"),
    [
        (exp, np.exp, 3e-7),
        (sigmoid, lambda x: 1 / (1 + np.exp(-x)), 5e-7),
        (tanh, np.tanh, 3e-7),
        (gelu, lambda x: 0.5 * x * (1 + np.tanh(0.7978845608 * x * (1 + 0.044715 * x * x))), 5e-6),
    ],
    ids=["exp", "sigmoid", "tanh", "gelu"],
)
def test_functions_of_registers(function, definition, tolerance):
    def kernel(source, out, n):
        for i in range(0, n, 16):
            store(out + 4 * i, function(load_f32(source + 4 * i)))

    x = np.concatenate([np.linspace(-30, 30, 4096), floats(512), [0.0] * 16]).astype(np.float32)
    out = np.zeros_like(x)
    run(kernel, x, out, len(x))
    want = definition(x.astype(np.float64))
    scale = np.abs(want) if function in (exp, sigmoid) else np.maximum(np.abs(want), 1)
    assert np.max(np.abs(out - want) / scale) < tolerance


def test_exp_ends_at_zero_and_does_not_overflow_early():
    def kernel(source, out):
        store(out, exp(load_f32(source)))

    x = np.array([-np.inf, -1e30, -100, -86.7, -86.5, 88.7] + [0] * 10, np.float32)
    out = np.zeros(16, np.float32)
    run(kernel, x, out)
    np.testing.assert_array_equal(out[:4], 0)
    np.testing.assert_allclose(out[4:6], np.exp(x[4:6].astype(np.float64)), rtol=1e-6)
    np.testing.assert_array_equal(out[6:], 1)


def test_sums_between_lanes():
    def kernel(source, out):
        value = load_f32(source)
        store_one_f32(out, 0, reduce_add(value))
        store_one_f32(out, 1, reduce_max(value))
        store(out + 64, swap_pairs(value))

    x, out = floats(16), np.zeros(32, np.float32)
    run(kernel, x, out)
    np.testing.assert_allclose(out[0], x.sum(dtype=np.float64), rtol=1e-5, atol=1e-6)
    assert out[1] == x.max()
    np.testing.assert_array_equal(out[16:], x.reshape(8, 2)[:, ::-1].reshape(-1))


@pytest.mark.parametrize("n", [1, 15, 16, 17, 31, 64, 100])
def test_means_of_any_length_read_nothing_beyond(n):
    def kernel(source, out, n):
        store_one_f32(out, 0, mean(source, n))
        store_one_f32(out, 1, mean_square(source, n))

    x, out = np.full(n + 32, np.nan, np.float32), np.zeros(2, np.float32)
    x[:n] = floats(n)
    run(kernel, x, out, n)
    want = x[:n].astype(np.float64)
    np.testing.assert_allclose(out, [want.mean(), np.mean(want**2)], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n", [1, 7, 15, 16])
def test_only_the_first_lanes_are_loaded_and_stored(n):
    def kernel(source, out, n):
        store_some(out, load_some(source, n), n)

    x, out = floats(16), np.full(16, 9, np.float32)
    x[n:] = np.nan
    run(kernel, x, out, n)
    np.testing.assert_array_equal(out[:n], x[:n])
    np.testing.assert_array_equal(out[n:], 9)


@pytest.mark.parametrize("n", [5, 16])
def test_panels_and_rows_meet_as_arrays_do(n):
    """Two panels of 16 weights and three tokens: every pair of them."""

    def kernel(weights, x, out, n):
        w, tokens = pair(weights, weights + 64), three_rows(x, 4)
        total = fma(load_f32(w), broadcast_f32(tokens, 0), add(np.float32(1), load_f32(w)))
        store_rows(three_rows(out, 128), 0, first_panel(total), n)
        store_rows(three_rows(out, 128), 64, second_panel(total), n)

    weights, x, out = floats(2, 16), floats(3), np.zeros((3, 2, 16), np.float32)
    run(kernel, weights, x, out, n)
    want = (weights[None] * x[:, None, None] + weights[None] + 1)[..., :n]
    np.testing.assert_allclose(out[..., :n], want, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(out[..., n:], 0)


def test_bytes_and_lanes_are_views_of_each_other():
    def kernel(source, out):
        store(out, as_bytes(load_i32(source)))
        store(out + 64, int_zeros(row(source), row(source)))

    source, out = RANDOM.integers(0, 256, 64).astype(np.uint8), np.ones(128, np.uint8)
    run(kernel, source, out)
    np.testing.assert_array_equal(out[:64], source)
    np.testing.assert_array_equal(out[64:], 0)


@pytest.mark.parametrize(("total", "threads"), [(1, 1), (28, 2), (304, 2), (9496, 3), (5, 64)])
def test_claims_cover_all_parts_once_and_get_shorter(total, threads):
    def claims(op, out, most, total, threads):
        for n in range(most):
            first, last = claim_range(op, total, threads)
            store_i32(out, 2 * n, first)
            store_i32(out, 2 * n + 1, last)

    record, out = np.zeros(HEADER_BYTES + 8, np.uint8), np.zeros((200, 2), np.int32)
    run(claims, record.ctypes.data + HEADER_BYTES, out, len(out), total, threads)
    claimed = out[: int(np.argmax(out[:, 0]))]
    assert claimed[0, 0] == 0 and claimed[-1, 1] == total
    assert (claimed[1:, 0] == claimed[:-1, 1]).all()
    assert (np.diff(claimed[:, 1] - claimed[:, 0]) <= 0).all() and len(claimed) < 20 * threads
    assert (out[len(claimed) :] == total).all()
