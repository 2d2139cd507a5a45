"""What an emulator is too slow for: rows of 4096 columns, 512 tokens, contexts of many blocks.

Run by `python -m tests.gpu`. On an emulated card the same claims hold for shapes that are small.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from emulated import is_real
from test_cuda_attention import Model, Part, check
from test_cuda_products import Bench, few, many, rounded
from test_operators import weight

from ops.cuda.kernels.formats.weights import PANELS
from ops.cuda.lowering.products import kernels_of
from ops.interface import BLOCK, Heads
from quant.format import dequantize

SUMS = 1e-5
"""Of the largest value: thousands of float32 summed in another order, and in float64."""
AT_ONCE = 40  # rows that the kernels for few rows are given


@dataclass(frozen=True)
class Shape:
    rows: int
    columns: int
    tokens: int
    context: int


SHAPE = Shape(4100, 4096, 512, 16 * BLOCK) if is_real() else Shape(36, 256, 9, BLOCK)
RANDOM = np.random.default_rng(8)


@pytest.mark.parametrize("kind", [*PANELS, "F16"])
def test_every_kernel_gives_the_same_bits_near_the_definition(kind):
    w = weight(SHAPE.rows, SHAPE.columns, kind)
    x = RANDOM.standard_normal((SHAPE.tokens, SHAPE.columns)).astype(np.float32)
    bench = Bench(w)
    matrix, at = bench.matrix(), bench.activations(x, kind)
    whole = many(bench, matrix, at, len(x))
    want = rounded(kind, x).astype(np.float64) @ dequantize(w.format, w.data).T.astype(np.float64)
    np.testing.assert_allclose(whole, want, atol=SUMS * np.abs(want).max(), rtol=0)
    first = min(AT_ONCE, len(x))
    for name in kernels_of(kind, gated=False):
        *_, taken = name.split("_")
        if taken != "many":
            rows = few(bench, matrix, at, first, int(taken))
            np.testing.assert_array_equal(rows, whole[:first], err_msg=name)


@pytest.mark.parametrize(("k", "v"), [("f16", "f16"), ("q8_0", "q8_0")])
@pytest.mark.parametrize("tokens", [1, 3, 70])
def test_long_contexts(k, v, tokens, monkeypatch):
    tokens = tokens if is_real() else min(tokens, 2)
    heads = Heads(0, 8, 2, 128 if is_real() else 32, 0.1)
    length = SHAPE.context + 9
    check(Model(heads, length, k, v), [Part(0, length - tokens, tokens)], monkeypatch)
