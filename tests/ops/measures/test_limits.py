"""The limits that a speed is compared with: of the instruction that multiplies its weights."""

import pytest
from test_operators import V, weight

from ops.cpu.instruction_sets.amx import AMX
from ops.cpu.instruction_sets.avx512 import AVX512
from ops.cpu.instruction_sets.avx512bf16 import AVX512BF16
from ops.cpu.instruction_sets.i8mm import I8MM
from ops.cpu.kernels.limits import DEPTH, LOOP, TILES_LOOP
from ops.cpu.measures.limits import method_of, most_multiplied
from ops.interface import Linear
from ops.limits import MachineLimits
from ops.recorder import record

REGISTERS, TILES = DEPTH * LOOP, 4 * TILES_LOOP  # that the kernels multiply in a round


@pytest.mark.parametrize(
    ("kind", "rung", "kernel", "products", "numbers"),
    [
        ("Q4_K", AVX512, "limit_multiply", 16 * 4 * REGISTERS, "8 bits"),
        ("Q4_K", AMX, "limit_multiply", 16 * 16 * 64 * TILES, "8 bits"),
        ("BF16", AVX512, "limit_multiply_floats", 16 * REGISTERS, "float32"),
        ("BF16", AVX512BF16, "limit_multiply_bf16", 16 * 2 * REGISTERS, "BF16"),
        ("BF16", AMX, "limit_multiply_bf16", 16 * 16 * 32 * TILES, "BF16"),
        ("F16", AVX512BF16, "limit_multiply_floats", 16 * REGISTERS, "float32"),
        (
            "F16",
            AMX,
            "limit_multiply_bf16",
            16 * 16 * 32 * TILES / 3,
            "F16 as three products of BF16",
        ),
        ("F32", I8MM, "limit_multiply_floats", 16 * REGISTERS, "float32"),
    ],
)
def test_the_limit_is_that_of_the_numbers_that_a_rung_multiplies(
    kind, rung, kernel, products, numbers
):
    method = method_of(kind, rung)
    assert (method.kernel, method.round, method.numbers) == (kernel, products, numbers)


def test_the_format_of_most_weights_counts():
    table, first = weight(V, 64, "Q8_0"), Linear(weight(32, 64, "F16"))
    second = Linear(weight(16, 32, "Q4_0"))
    program = record(lambda ops: ops.linear(second, ops.linear(first, ops.embed(table))))
    assert most_multiplied(program) == "F16"
    assert most_multiplied(record(lambda ops: ops.embed(table))) == "F32"


def test_two_measurements_keep_what_was_multiplied():
    slow, fast = (MachineLimits(1.0, speed, "BF16") for speed in (2.0, 3.0))
    assert slow.best(fast) == fast
