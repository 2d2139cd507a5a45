"""Products of plain numbers by matrix tiles of BF16: a model's bytes for any number of tokens."""

import ctypes
import os

import numpy as np
import pytest
from bf16_model import tile_product, tiled_product
from passes import resources
from test_operators import V, weight
from test_tiles import experts, logits
from tile_model import tile_kernels, with_tiles

from ops.cpu.compiling import aim
from ops.cpu.kernels.formats.bf16_tiles import NEXT_PANEL, Bf16Tiles
from ops.cpu.kernels.formats.floats import f16
from ops.cpu.kernels.simd import compiler
from ops.cpu.kernels.simd.addresses import pair
from ops.cpu.kernels.simd.compiler import c_function
from ops.cpu.layout import BLOCK_TOKENS, MOST_ROWS, PANEL_ROWS
from ops.cpu.objects import ObjectStore
from ops.cpu.processor import host_features
from ops.cpu.rungs import choose_rung
from ops.interface import Linear
from ops.recorder import record
from ops.reference.arithmetic import rounded_to_bf16
from quant.floats import quantize_bf16
from quant.format import dequantize

WHOLE, FEWER = 40, (1, 17, BLOCK_TOKENS)  # tokens: several blocks, and one
COLUMNS = 1, 34, 64, 103, 416  # whole parts and others; more than are unpacked at a time
FORMATS = "BF16", "F16"


@pytest.fixture(scope="module")
def tiled():
    allowed = resources()
    return tile_kernels(ObjectStore(allowed.kernels, allowed.on_compile))


def exact(matrix: Linear) -> np.ndarray:
    w = matrix.weight
    return dequantize(w.format, w.data).reshape(-1, w.columns)


def test_the_model_sums_even_and_odd_columns_apart_and_flushes_tiny_numbers():
    one, huge, tiny = np.float32(1), np.float32(2.0**60), np.float32(1e-39)
    x = np.array([[huge, one, -huge, one, one, one]], np.float32)
    assert tile_product(np.ones((1, 1), np.float32), x, np.ones((6, 1), np.float32)) == 5
    assert tile_product(np.full((1, 1), tiny), x[:, 1:2], np.full((1, 1), tiny)) == 0
    small = np.full((1, 1), np.float32(2.0**-100))
    assert tile_product(np.zeros((1, 1), np.float32), small, small) == 0


def test_two_panels_of_half_floats_by_tiles_have_the_bytes_of_the_model(monkeypatch):
    """The last of the four parts is not whole."""
    columns, rung = 103, with_tiles(choose_rung(host_features(), os.environ))
    aim(rung)
    monkeypatch.setitem(compiler.RUNGS, (rung.processor, rung.features), rung)
    add, panel_bytes = Bf16Tiles(f16.KERNELS, 2).add_16_directly, 2 * PANEL_ROWS * columns

    def kernel(w, x, totals, ring):
        add(pair(w, w + panel_bytes), columns, 0, 4, ring, x, totals)

    random = np.random.default_rng(4)
    w = random.standard_normal((2, columns, PANEL_ROWS)).astype(np.float16)
    x = random.standard_normal((16, columns)).astype(np.float32)
    padded = np.pad(x, [(0, BLOCK_TOKENS - 16), (0, -columns % 32)])
    near = rounded_to_bf16(padded)
    terms = (
        quantize_bf16(each.reshape(-1, 1)).reshape(-1, 4, 32) for each in (near, padded - near)
    )
    slots = np.ascontiguousarray(np.stack(list(terms), axis=2).transpose(1, 2, 0, 3))
    totals, ring = np.zeros((BLOCK_TOKENS, 32), np.float32), np.zeros(2 * NEXT_PANEL, np.uint8)
    compiled = c_function(kernel, 4)
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(compiled.address)
    call(*(array.ctypes.data for array in (w, slots, totals, ring)))
    rows = w.transpose(0, 2, 1).reshape(-1, columns).astype(np.float32)
    np.testing.assert_array_equal(totals[:16], tiled_product(rows, x))


@pytest.mark.weekly
@pytest.mark.parametrize("kind", FORMATS)
def test_a_product_by_tiles_has_the_bytes_of_the_model_for_any_number_of_tokens(tiled, kind):
    for columns in COLUMNS:
        table, matrix = weight(V, columns), Linear(weight(56, columns, kind))
        program = record(lambda ops, table=table, w=matrix: ops.linear(w, ops.embed(table)))
        x = table.data.view(np.float32).reshape(V, columns)[:WHOLE]
        want = tiled_product(exact(matrix), x)
        for tokens in (*FEWER, WHOLE):
            got = logits(tiled, program, tokens, 2)
            np.testing.assert_array_equal(got, want[:tokens], err_msg=f"{columns}, {tokens}")
    assert list(tiled.compiled)[-1] == f"linear_{kind}"


@pytest.mark.weekly
def test_more_tokens_than_are_taken_at_once_have_the_same_bytes(tiled):
    table, matrix = weight(V, 64), Linear(weight(300, 64, "F16"))
    program = record(lambda ops: ops.linear(matrix, ops.embed(table)))
    x = np.resize(table.data.view(np.float32).reshape(V, 64), (MOST_ROWS + 33, 64))
    want = tiled_product(exact(matrix), x)
    for threads in (1, 3):
        np.testing.assert_array_equal(logits(tiled, program, len(x), threads), want)


@pytest.mark.weekly
@pytest.mark.parametrize("kind", FORMATS)
def test_experts_have_the_same_bytes_for_any_number_of_tokens(tiled, kind):
    program = record(experts(kind))
    want = logits(tiled, program, 90, 2)
    for tokens in (1, 7, 20, 40):
        np.testing.assert_array_equal(logits(tiled, program, tokens, 2), want[:tokens])


def test_two_terms_are_no_farther_from_exact_than_half_floats():
    """Rounding activations to F16, as llama.cpp does, costs some thousand times as much."""
    random = np.random.default_rng(0)
    x, w = (random.standard_normal(shape).astype(np.float32) for shape in ((8, 512), (64, 512)))
    w = w.astype(np.float16).astype(np.float32)
    want = x.astype(np.float64) @ w.T.astype(np.float64)
    halves = x.astype(np.float16).astype(np.float64) @ w.T.astype(np.float64)
    errors = [((got - want) ** 2).mean() for got in (tiled_product(w, x), halves)]
    assert errors[0] < errors[1] / 500
