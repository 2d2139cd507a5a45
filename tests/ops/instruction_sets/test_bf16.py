"""Products of BF16: the sums of a NumPy model to the bit, for any number of tokens."""

import ctypes
import os
from dataclasses import dataclass

import numpy as np
import pytest
from bf16_model import bf16_kernels, dot_pairs, product
from passes import resources
from test_operators import V, weight
from test_tiles import check, experts, logits

from ops.cpu.compiling import aim
from ops.cpu.kernels.simd.compiler import c_function
from ops.cpu.kernels.simd.operations import dot_bf16, load_f32, load_i32, store, store_bf16
from ops.cpu.objects import ObjectStore
from ops.cpu.processor import host_features
from ops.cpu.rungs import choose_rung
from ops.interface import Linear
from ops.recorder import record
from ops.reference.arithmetic import rounded_to_bf16
from quant.floats import dequantize_bf16, quantize_bf16

RANDOM = np.random.default_rng(3)
RUNG = choose_rung(host_features(), os.environ)
has_instruction = pytest.mark.skipif(
    RUNG.dot_bf16 is None, reason="this CPU's rung has no dot product of BF16"
)


@dataclass(frozen=True)
class Stores:
    machine: ObjectStore
    model: object


@pytest.fixture(scope="module")
def stores():
    allowed = resources()
    store = ObjectStore(allowed.kernels, allowed.on_compile)
    return Stores(store, bf16_kernels(store))


def run(kernel, *arrays: np.ndarray) -> None:
    aim(RUNG)
    compiled = c_function(kernel, len(arrays))
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * len(arrays))(compiled.address)
    call(*(array.ctypes.data for array in arrays))


def numbers(*shape: int, spread: int = 6) -> np.ndarray:
    """BF16 as float32, of very different sizes."""
    sizes = np.exp2(RANDOM.integers(-spread, spread + 1, shape)).astype(np.float32)
    return rounded_to_bf16(RANDOM.standard_normal(shape).astype(np.float32) * sizes)


@has_instruction
def test_the_instruction_adds_the_second_product_then_the_first_and_flushes_tiny_numbers():
    def kernel(total, w, x):
        for n in range(64):
            place = total + 64 * n
            value = dot_bf16(load_f32(place), load_i32(w + 64 * n), load_i32(x + 64 * n))
            store(place, value)

    w, x, total = numbers(1024, 2), numbers(1024, 2), numbers(1024, spread=12)
    w[:4], x[:4], total[:4] = [1e-39, 1e-20], [1e30, 1e-20], [0, 1e-40, 1e-38, 1]
    w[4:6], x[4:6] = [[np.inf, 1], [3e38, -3e38]], [1, 3e38]
    w, x = rounded_to_bf16(w), rounded_to_bf16(x)
    want = dot_pairs(total, w, x)
    run(kernel, total, *(quantize_bf16(each.reshape(-1, 1)) for each in (w, x)))
    np.testing.assert_array_equal(total, want)


@pytest.mark.parametrize("columns", [1, 2, 5, 34, 64, 103])
def test_a_product_has_the_bytes_of_the_model_for_any_number_of_tokens(stores, columns):
    table, matrix = weight(V, columns), Linear(weight(37, columns, "BF16"))
    program = record(lambda ops: ops.linear(matrix, ops.embed(table)))
    x = rounded_to_bf16(table.data.view(np.float32)[:13])
    w = dequantize_bf16(matrix.weight.data.view(np.uint16).reshape(-1)).reshape(37, columns)
    want = product(w, x)
    kernels = [stores.model, *([stores.machine] if RUNG.dot_bf16 else [])]
    for tokens in (1, 2, 6, 13):
        for each in kernels:
            np.testing.assert_array_equal(logits(each, program, tokens, 2), want[:tokens])


@has_instruction
def test_products_of_experts_have_the_bytes_of_the_model(stores):
    check((stores.machine, stores.model), experts("BF16"), (1, 20))
    assert "gated_expert_linear_BF16_silu" in stores.model.compiled


def test_activations_are_rounded_to_the_nearest_bf16_and_not_a_number_stays_so():
    def kernel(source, out):
        store_bf16(out, load_f32(source))

    x = numbers(16) + np.float32(1e-3)
    x[:5] = [1.00390625, 1.01171875, np.inf, 3.4e38, 1e-40]  # ties, to even
    x[5:7].view(np.uint32)[:] = [0x7FFFFFFF, 0xFF800001]
    out = np.zeros(16, np.uint16)
    run(kernel, x, out)
    np.testing.assert_array_equal(out, quantize_bf16(x.reshape(-1, 1)))
