"""Fewer launches for the card: the same meaning, for few rows and for many."""

import numpy as np
import pytest
from test_cuda_operators import CardCase
from test_operators import V, weight

from ops.cuda.formats import ACTIVATION_BYTES, QUANTIZED
from ops.cuda.lowering.merging import merge
from ops.fusion import fuse
from ops.interface import Heads, Linear, Rope
from ops.recorder import record

D, F = 64, 96
HEADS = Heads(0, 4, 2, 32, 0.002)  # heads of whole blocks of activations
TURN = Rope(np.geomspace(1, 0.01, 16).astype(np.float32), 32, False)


def layer(kinds: tuple[str, str, str], biases: bool = False):
    """A block whose q, k and v have these formats."""

    def matrix(rows, columns, kind=kinds[0]):
        return Linear(weight(rows, columns, kind), weight(1, rows) if biases else None)

    table, norm = weight(V, D), Linear(weight(1, D))
    weights = [matrix(rows, D, kind) for rows, kind in zip((128, 64, 64), kinds, strict=True)]
    output, gate, up, down = matrix(D, 128), matrix(F, D), matrix(F, D), matrix(D, F)

    def forward(ops):
        x = ops.embed(table)
        y = ops.rms_norm(x, norm, 1e-5)
        q, k, v = (ops.linear(w, y) for w in weights)
        y = ops.attention(ops.rope(q, TURN), ops.rope(k, TURN), v, HEADS)
        x = ops.add(x, ops.linear(output, y))
        y = ops.rms_norm(x, norm, 1e-5)
        inner = ops.gate(ops.linear(gate, y), ops.linear(up, y), "silu")
        return ops.add(x, ops.linear(down, inner))

    return forward


def merged(forward) -> list[str]:
    """The types of the operators, and of those with quantized activations beside their results."""
    operations = merge(fuse(record(forward).operations, QUANTIZED, ACTIVATION_BYTES))
    marks = ["+" * (getattr(op, "quantized", None) is not None) for op in operations]
    return [type(op).__name__ + mark for op, mark in zip(operations, marks, strict=True)]


def test_a_quantized_layer_takes_nine_operators():
    assert merged(layer(("Q8_0",) * 3)) == [
        "Embed",
        *["RmsNormQuantize", "JoinedProducts", "Angles", "NormRopeStore", "Attention+", "Product"],
        *["RmsNormQuantize", "Product+", "Product"],
    ]


def test_another_format_stays_by_itself():
    names = merged(layer(("Q4_0", "Q4_0", "Q8_0")))
    assert names.count("JoinedProducts") == 1 and names.count("Product") == 3


def test_floats_are_not_quantized():
    names = merged(layer(("F16",) * 3))
    assert "JoinedProducts" in names
    assert not any("Quantize" in name or "+" in name for name in names)
    assert "JoinedProducts" not in merged(layer(("F32",) * 3))


@pytest.mark.parametrize("kinds", [("Q8_0",) * 3, ("Q4_0", "Q4_0", "F16"), ("F16",) * 3])
@pytest.mark.parametrize(("tokens", "start"), [(1, 0), (5, 254), (40, 0)])
def test_a_merged_layer_means_the_same(kinds, tokens, start):
    """In the second block a token's context is shared among thread blocks."""
    steps = [start, tokens] if start else [tokens] * 2
    case = CardCase(layer(kinds, biases=True))
    case.check(steps, tolerance=3e-2)  # a byte of 127 may round otherwise
