"""Every operator of the recorded program on a card, against the NumPy definition."""

from dataclasses import replace

import numpy as np
import pytest
from emulated import open_card, open_on_card
from test_operators import RANDOM, Case, V, weight

from ops.cache import CacheLayout, KVCache
from ops.cuda.kernels.weights import PANELS
from ops.cuda.placing import kind_of
from ops.interface import Heads, Linear, Rope, Routing, Weight
from ops.program import Limits
from ops.reference import ReferenceRunner, rounded_to_bytes, rounded_to_halves


def as_the_card_rounds(w: Weight, x):
    kind = kind_of(w)
    if kind in PANELS:
        return rounded_to_bytes(x)
    return rounded_to_halves(x) if kind == "F16" else x


class CardCase(Case):
    def check(self, steps: int | list[int] = 1, tolerance: float = 1e-5) -> None:
        """`steps`: how many of equal size, or the tokens of each."""
        sizes = steps if isinstance(steps, list) else [self.tokens] * steps
        layout = CacheLayout(self.layers, "f16", "f16")
        reference = ReferenceRunner(self.forward, layout, as_the_card_rounds)
        limits = Limits(max(sizes), max(sizes))
        card = open_card()
        runner = open_on_card(self.forward, layout, limits, card)
        caches = [(one, KVCache(one.pool)) for one in (runner, reference)]
        for self.tokens in sizes:
            step = self.step()
            got, want = (one.run(step, [cache]) for one, cache in caches)
            scale = np.abs(want).max() + 1e-30
            np.testing.assert_allclose(got / scale, want / scale, atol=tolerance, rtol=0)
            self.start += self.tokens
        caches[0][1].shrink(0)
        runner.close()
        free, total = card.memory()
        assert free == total, "memory of the card was not given back"


@pytest.mark.parametrize("kind", sorted({*PANELS, "F32", "F16", "BF16"}))
def test_embed_and_linear(kind):
    table, matrix = weight(V, 256, kind), Linear(weight(3, 256, kind))
    CardCase(lambda ops: ops.linear(matrix, ops.embed(table)), 3).check(tolerance=3e-5)


@pytest.mark.parametrize("columns", [1, 7, 33])
def test_odd_row_lengths(columns):
    table, matrix = weight(V, columns), Linear(weight(5, columns, "F16"), weight(1, 5))
    CardCase(lambda ops: ops.linear(matrix, ops.embed(table))).check()


def test_bias_and_scale():
    table, w = weight(V, 256), weight(6, 256, "Q8_0")
    matrix = Linear(w, weight(1, 6), weight(1, 1))
    CardCase(lambda ops: ops.linear(matrix, ops.embed(table))).check()


def test_parts_of_a_fused_matrix():
    table, fused = weight(V, 64), Linear(weight(12, 64, "Q8_0"), weight(1, 12))
    for part in ((0, 4), (4, 12)):
        CardCase(lambda ops, part=part: ops.linear(fused.part(*part), ops.embed(table))).check()


def test_embed_positions_and_add():
    table, places = weight(V, 40), weight(9, 40, "F16")
    CardCase(lambda ops: ops.add(ops.embed(table), ops.embed_positions(places)), 4, start=5).check()


@pytest.mark.parametrize("segments", [1, 4])
def test_rms_norm(segments):
    table, w = weight(V, 24 * segments), Linear(weight(1, 24))
    CardCase(lambda ops: ops.rms_norm(ops.embed(table), w, 1e-5)).check()


@pytest.mark.parametrize("bias", [None, "bias"])
def test_layer_norm(bias):
    table = weight(V, 71)
    w = Linear(weight(1, 71), weight(1, 71) if bias else None)
    CardCase(lambda ops: ops.layer_norm(ops.embed(table), w, 1e-5)).check()


@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize("pairs", [1, 3, 4])
def test_rope(interleaved, pairs):
    table = weight(V, 24)
    turn = Rope(np.geomspace(1, 1e-3, pairs).astype(np.float32), 8, interleaved, 1.2)
    CardCase(lambda ops: ops.rope(ops.embed(table), turn), start=70_000).check()


def test_temperature():
    table = weight(V, 16)
    CardCase(lambda ops: ops.temperature(ops.embed(table), 0.1, 3), 8).check()


@pytest.mark.parametrize("activation", ["silu", "gelu"])
def test_activate(activation):
    table = weight(V, 16)
    CardCase(lambda ops: ops.activate(ops.embed(table), activation)).check()


@pytest.mark.parametrize("activation", ["silu", "gelu", "clamped_swiglu"])
def test_gate(activation):
    table, other = weight(V, 16), Linear(weight(16, 16))

    def forward(ops):
        x = ops.scale(ops.embed(table), 5.0)  # far enough to be clamped
        return ops.gate(x, ops.linear(other, x), activation)

    CardCase(forward).check()


def test_scale_and_softcap():
    table = weight(V, 16)
    CardCase(lambda ops: ops.softcap(ops.scale(ops.embed(table), 30.0), 20.0)).check()


@pytest.mark.parametrize("outputs", [(), (4,), (0, 3, 2)])
def test_select_outputs(outputs):
    table = weight(V, 16)
    case = CardCase(lambda ops: ops.select_outputs(ops.embed(table)), outputs=outputs)
    if outputs:
        case.check()
    else:  # a chunk of a prompt: no row is wanted
        runner = open_on_card(case.forward, CacheLayout(()), Limits(5, 5))
        assert runner.run(case.step(), [KVCache(runner.pool)]).shape == (0, 16)
        runner.close()


@pytest.mark.parametrize("gating", ["softmax", "sigmoid", "softmax_of_chosen"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize(("total", "used", "tokens"), [(1, 1, 2), (5, 2, 3), (5, 2, 20), (8, 8, 1)])
def test_experts(gating, normalize, total, used, tokens):
    table, router = weight(V, 32), Linear(weight(total, 32))
    up = Linear(weight(9, 32, "Q4_0", total), weight(total, 9), weight(1, total))
    down = Linear(weight(32, 9, "F16", total))
    routing = Routing(total, used, gating, normalize, 1.5)

    def forward(ops):
        x = ops.embed(table)
        chosen = ops.route(ops.linear(router, x), routing)
        y = ops.activate(ops.expert_linear(up, x, chosen), "silu")
        return ops.expert_sum(ops.expert_linear(down, y, chosen), chosen)

    CardCase(forward, tokens).check()


def test_gated_experts():
    table, router = weight(V, 32), Linear(weight(4, 32))
    gate, up = (Linear(weight(32, 32, "Q8_0", 4), weight(4, 32)) for _ in range(2))
    down = Linear(weight(32, 32, "Q8_0", 4))

    def forward(ops):
        x = ops.embed(table)
        chosen = ops.route(ops.linear(router, x), Routing(4, 2))
        g, u = ops.expert_linear(gate, x, chosen), ops.expert_linear(up, x, chosen)
        inner = ops.gate(g, u, "clamped_swiglu")
        return ops.expert_sum(ops.expert_linear(down, inner, chosen), chosen)

    for tokens in (2, 20):
        CardCase(forward, tokens).check(tolerance=1e-3)  # a byte of `inner` may round otherwise


HEADS = Heads(0, 4, 2, 16, 0.002)  # random weights give scores of thousands
TURN = Rope(np.geomspace(1, 0.01, 8).astype(np.float32), 16, True)


def layer(kind: str):
    def matrix(rows, columns):
        return Linear(weight(rows, columns, kind))

    D, F = 64, 96
    table, norm = weight(V, D), Linear(weight(1, D))
    q, k, v = matrix(64, D), matrix(32, D), matrix(32, D)
    output, gate, up, down = matrix(D, 64), matrix(F, D), matrix(F, D), matrix(D, F)

    def forward(ops):
        x = ops.embed(table)
        y = ops.rms_norm(x, norm, 1e-5)
        turned = [ops.rope(ops.linear(w, y), TURN) for w in (q, k)]
        x = ops.add(x, ops.linear(output, ops.attention(*turned, ops.linear(v, y), HEADS)))
        y = ops.rms_norm(x, norm, 1e-5)
        inner = ops.gate(ops.linear(gate, y), ops.linear(up, y), "silu")
        return ops.add(x, ops.linear(down, inner))

    return forward


@pytest.mark.parametrize("kind", ["Q8_0", "F16", "F32"])
def test_a_whole_layer(kind):
    tolerance = 2e-2  # q, k, v and shares in float16; so a byte of 127 may round otherwise
    CardCase(layer(kind), tokens=5, layers=(HEADS,)).check(steps=3, tolerance=tolerance)


def test_steps_of_equal_counts_share_a_graph():
    case = CardCase(layer("Q8_0"), tokens=1, layers=(HEADS,))
    card = open_card()
    runner = open_on_card(case.forward, CacheLayout(case.layers), Limits(8, 8), card)
    cache = KVCache(runner.pool)
    for position in range(4):
        runner.run(replace(case, start=position).step(), [cache])
    assert card.graphs == 1
    long = replace(case, start=4, tokens=8)
    runner.run(long.step(), [cache])
    assert card.graphs == 2
    runner.close()


def test_a_closed_runner_refuses():
    case = CardCase(layer("Q8_0"), tokens=1, layers=(HEADS,))
    runner = open_on_card(case.forward, CacheLayout(case.layers), Limits(8, 8))
    runner.close()
    runner.close()
    with pytest.raises(Exception, match="closed"):
        runner.run(case.step(), [KVCache(runner.pool)])
    assert RANDOM is not None
