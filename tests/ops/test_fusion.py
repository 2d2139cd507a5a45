"""Rewriting a recording: fewer operators, the same meaning, and barriers where they are needed."""

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest
from test_operators import Case, V, weight

from ops import fusion
from ops.cpu.formats import quantized_formats
from ops.cpu.layout import ACTIVATION_BYTES, PANEL_ROWS
from ops.cpu.schedule import barriers
from ops.interface import Heads, Linear, Rope, Routing
from ops.memory_plan import Limits, plan
from ops.operations.base import READ, WRITTEN, Buffer, Operation
from ops.operations.elementwise import RoundToBf16
from ops.operations.products import ExpertProduct, Product
from ops.recorder import Recorder

fuse = partial(fusion.fuse, quantized=quantized_formats(), block_bytes=ACTIVATION_BYTES)

D, F = 64, 96
HEADS = Heads(0, 4, 2, 16, 0.25)
TURN = Rope(np.geomspace(1, 0.01, 8).astype(np.float32), 16, True)


def layer(kind: str, biases: bool = False, heads: Heads = HEADS):
    """A whole block, as the decoder records it."""

    def matrix(rows, columns):
        return Linear(weight(rows, columns, kind), weight(1, rows) if biases else None)

    table, norm = weight(V, D), Linear(weight(1, D))
    q, k, v = matrix(64, D), matrix(32, D), matrix(32, D)
    output, gate, up, down = matrix(D, 64), matrix(F, D), matrix(F, D), matrix(D, F)

    def forward(ops):
        x = ops.embed(table)
        y = ops.rms_norm(x, norm, 1e-5)
        turned = [ops.rope(ops.linear(w, y), TURN) for w in (q, k)]
        x = ops.add(x, ops.linear(output, ops.attention(*turned, ops.linear(v, y), heads)))
        y = ops.rms_norm(x, norm, 1e-5)
        inner = ops.gate(ops.linear(gate, y), ops.linear(up, y), "silu")
        return ops.add(x, ops.linear(down, inner))

    return forward


@pytest.mark.parametrize("kind", ["Q8_0", "F32"])
def test_what_a_program_gives_is_written_whoever_else_reads_it(kind):
    table, norm, matrix = weight(V, 64), Linear(weight(1, 64)), Linear(weight(64, 64, kind))

    def forward(ops):
        y = ops.rms_norm(ops.embed(table), norm, 1e-5)
        heads = Heads(0, 2, 2, 32, 0.25)
        ops.keep(ops.linear(matrix, y), ops.linear(matrix, y), heads)
        return y

    Case(forward).check()


def recorded(forward) -> list[Operation]:
    recorder = Recorder()
    forward(recorder)
    return recorder.operations


def names(operations) -> list[str]:
    return [type(operation).__name__ for operation in operations]


def gated(operations) -> list[Operation]:
    """Products of two matrices whose results meet in a gate."""
    return [op for op in operations if isinstance(op, Product | ExpertProduct) and op.up]


def test_a_quantized_layer_becomes_few_operators():
    fused = fuse(recorded(layer("Q8_0")))
    assert names(fused) == [
        "Embed",
        "RmsNormQuantize",
        *["Product", "Angles", "Product", "Product", "NormRopeStore"],
        *["Attention", "Quantize", "Product"],
        "RmsNormQuantize",
        *["Product", "Quantize", "Product"],
    ]
    assert gated(fused) == [fused[-3]] and fused[-1].added and fused[-5].added


def test_float_weights_take_activations_as_they_are():
    fused = fuse(recorded(layer("F16")))
    assert "Quantize" not in names(fused) and "RmsNormQuantize" not in names(fused)
    assert names(fused).count("RmsNorm") == 2 and len(gated(fused)) == 1


def test_weights_in_bf16_take_rounded_activations_where_the_rung_multiplies_them():
    fused = fuse(recorded(layer("BF16")), in_bf16={"BF16": 1})
    rounded = [op for op in fused if isinstance(op, RoundToBf16)]
    assert [op.y.width for op in rounded] == [D // 2, D // 2, D // 2, F // 2]  # pairs
    rounded = [
        op for op in fuse(recorded(layer("F16")), in_bf16={"F16": 2}) if isinstance(op, RoundToBf16)
    ]
    assert [(op.terms, op.y.width) for op in rounded] == [(2, D)] * 3 + [(2, F)]
    assert len(gated(fused)) == 1 and "RoundToBf16" not in names(fuse(recorded(layer("BF16"))))


def test_each_head_is_rounded_to_whole_parts():
    table, matrices = weight(V, 3 * 5), Linear(weight(17, 5, "BF16", 3))
    operations = recorded(lambda ops: ops.head_linear(matrices, ops.embed(table)))
    [rounded] = [op for op in fuse(operations, in_bf16={"BF16": 1}) if isinstance(op, RoundToBf16)]
    assert (rounded.columns, rounded.y.width) == (5, 3 * 16)


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0"])
@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("tokens", [1, 7])
def test_a_fused_layer_means_the_same(kind, biases, tokens):
    case = Case(layer(kind, biases), tokens)
    # a rounding that falls the other way: 1/254 of the largest of 32 activations, 1/256 of one
    case.check(steps=2, tolerance=5e-5 if kind in ("F32", "F16") else 2e-3)


@pytest.mark.parametrize("norms", [False, True])
@pytest.mark.parametrize("turned", ["both", "only k", "neither", "each by its own"])
def test_heads_enter_attention_whatever_is_done_to_them(norms, turned):
    table, q, k, v = weight(V, D), *(Linear(weight(n, D, "Q8_0")) for n in (64, 32, 32))
    q_norm, k_norm = Linear(weight(1, 16)), Linear(weight(1, 16))
    other = Rope(TURN.frequencies[:3], 16, interleaved=False)

    def forward(ops):
        x = ops.embed(table)
        heads = [ops.linear(w, x) for w in (q, k)]
        if norms:
            pairs = zip(heads, (q_norm, k_norm), strict=True)
            heads = [ops.rms_norm(y, norm, 1e-5, 16) for y, norm in pairs]
        if turned != "neither":
            heads[1] = ops.rope(heads[1], TURN)
        if turned in ("both", "each by its own"):
            heads[0] = ops.rope(heads[0], TURN if turned == "both" else other)
        return ops.attention(*heads, ops.linear(v, x), HEADS)

    fused = names(fuse(recorded(forward)))
    assert fused.count("NormRopeStore") == 1 and "Store" not in fused
    assert fused.count("Rotate") == (turned == "each by its own")
    Case(forward, tokens=7).check(steps=3)


def test_what_others_read_is_not_fused_away():
    table, norm = weight(V, D), Linear(weight(1, D))
    gate, up = Linear(weight(D, D, "Q8_0")), Linear(weight(D, D, "Q8_0"))

    def forward(ops):
        x = ops.rms_norm(ops.embed(table), norm, 1e-5)
        g, u = ops.linear(gate, x), ops.linear(up, x)
        return ops.add(ops.add(ops.gate(g, u, "silu"), g), x)

    fused = fuse(recorded(forward))
    assert not gated(fused) and "RmsNormQuantize" not in names(fused)
    assert names(fused).count("Quantize") == 1
    Case(forward).check(tolerance=2e-3)


@pytest.mark.parametrize("other", [("Q4_0", F), ("Q8_0", F)])
def test_matrices_of_two_formats_are_not_gated_together(other):
    kind, rows = other
    table, down = weight(V, D), Linear(weight(D, F, "Q8_0"))
    gate, up = Linear(weight(F, D, "Q8_0")), Linear(weight(rows, D, kind))

    def forward(ops):
        x = ops.embed(table)
        return ops.linear(down, ops.gate(ops.linear(gate, x), ops.linear(up, x), "gelu"))

    assert len(gated(fuse(recorded(forward)))) == (kind == "Q8_0")
    Case(forward).check(tolerance=2e-3)


def test_rows_are_grouped_once_for_all_products_of_a_router():
    table, router = weight(V, 32), Linear(weight(4, 32))
    gate, up = (Linear(weight(48, 32, "Q8_0", 4)) for _ in range(2))
    down = Linear(weight(32, 48, "F16", 4))

    def forward(ops):
        x = ops.embed(table)
        chosen = ops.route(ops.linear(router, x), Routing(4, 2))
        g, u = (ops.expert_linear(w, x, chosen) for w in (gate, up))
        return ops.expert_sum(ops.expert_linear(down, ops.gate(g, u, "silu"), chosen), chosen)

    fused = fuse(recorded(forward))
    assert names(fused).count("Group") == 1
    assert [type(op) for op in gated(fused)] == [ExpertProduct]
    Case(forward, tokens=9).check(tolerance=2e-3)


@pytest.mark.parametrize("kind", ["F32", "Q8_0", "Q4_K"])
@pytest.mark.parametrize("width", [48, 40])
def test_halves_of_a_merged_matrix_are_gated_where_they_are_whole_panels(kind, width):
    columns = 256 if kind == "Q4_K" else 32
    table, router = weight(V, columns), Linear(weight(4, columns))
    merged = Linear(weight(2 * width, columns, kind, 4), scale=weight(1, 4))

    def forward(ops):
        x = ops.embed(table)
        chosen = ops.route(ops.linear(router, x), Routing(4, 2))
        both = ops.expert_linear(merged, x, chosen)
        gate, up = ops.columns(both, 0, width), ops.columns(both, width, 2 * width)
        return ops.expert_sum(ops.gate(gate, up, "gelu"), chosen)

    fused = fusion.fuse_merged_gates(recorded(forward), PANEL_ROWS)
    whole = width % PANEL_ROWS == 0
    assert ("Columns" in names(fused), "Gate" in names(fused)) == (not whole, not whole)
    Case(forward, tokens=9).check(tolerance=2e-3)


def test_halves_that_others_read_too_are_left_apart():
    table, router = weight(V, 32), Linear(weight(4, 32))
    merged = Linear(weight(96, 32, "Q8_0", 4))

    def forward(ops):
        x = ops.embed(table)
        chosen = ops.route(ops.linear(router, x), Routing(4, 2))
        both = ops.expert_linear(merged, x, chosen)
        gate, up = ops.columns(both, 0, 48), ops.columns(both, 48, 96)
        return ops.expert_sum(ops.add(ops.gate(gate, up, "silu"), up), chosen)

    operations = recorded(forward)
    assert fusion.fuse_merged_gates(operations, PANEL_ROWS) == operations


@dataclass(frozen=True, eq=False)
class Any(Operation):
    """Reads and writes, whatever it computes."""

    reads: tuple[Buffer, ...] = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)


def schedule(operations, keep: Buffer) -> list[bool]:
    limits = Limits(4, 4)
    places, _ = plan(operations, limits, keep)
    return barriers(operations, places, limits)


def test_products_of_one_input_do_not_wait_for_each_other():
    operations = fuse(recorded(layer("Q8_0")))
    waits = schedule(operations, operations[-1].outputs[0])
    first, entered = (names(operations).index(name) for name in ("Product", "NormRopeStore"))
    assert waits[first]  # for the norm
    assert entered - first == 4 and not any(waits[first + 1 : entered])  # q, angles, k, v
    assert waits[entered] and waits[entered + 1]


def test_whoever_reads_or_overwrites_waits():
    random = np.random.default_rng(3)
    for _ in range(30):
        buffers = [Buffer("tokens", 1, int(random.integers(1, 50))) for _ in range(25)]
        operations = [
            Any(tuple(random.choice(buffers[:n], min(n, 2), replace=False)), b)
            for n, b in enumerate(buffers)
        ]
        limits = Limits(3, 1)
        places, _ = plan(operations, limits, buffers[-1])
        waits = barriers(operations, places, limits)
        size = {b: 4 * 3 * b.width for b in buffers}

        def touch(a, b, places=places, size=size):
            return places[a] < places[b] + size[b] and places[b] < places[a] + size[a]

        start = 0
        for n, op in enumerate(operations):
            start = n if waits[n] else start
            for other in operations[start:n]:
                assert not any(touch(a, b) for a in op.inputs for b in other.outputs)
                assert not any(touch(a, b) for a in op.outputs for b in other.inputs)
                assert not any(touch(a, b) for a in op.outputs for b in other.outputs)


def test_the_cache_is_read_after_it_was_written():
    operations = fuse(recorded(layer("F16")))
    waits = schedule(operations, operations[-1].outputs[0])
    assert waits[names(operations).index("Attention")]
