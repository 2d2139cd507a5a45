"""Every operator of the recorded program on a card, against the NumPy definition."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import test_operators
from emulated import open_card, open_on_card
from test_fusion import layer as layer_of
from test_operators import (  # noqa: F401  (its cases, which run here on a card)
    Case,
    V,
    test_activate,
    test_clamp,
    test_columns_of_rows_and_of_stretches,
    test_embed_positions_and_add,
    test_experts_are_chosen_with_a_bias_and_from_the_best_groups,
    test_gate,
    test_join,
    test_layer_norm,
    test_layer_norm_of_heads,
    test_layer_norms_of_stretches_without_weights_and_with_a_row_for_each,
    test_multiplication_by_a_number_a_stretch,
    test_multiplication_of_each_experts_result_by_its_weight,
    test_multiply,
    test_norms_of_stretches_without_weights_and_with_a_row_for_each,
    test_parts_of_a_fused_matrix,
    test_rms_norm,
    test_rope,
    test_scale_and_softcap,
    test_temperature,
    test_wanted_rows_have_their_own_experts,
    weight,
)

from ops.cuda.kernels.formats.weights import PANELS
from ops.cuda.lowering.placing import kind_of
from ops.interface import Gating, Heads, Linear, Routing, Weight
from ops.memory_plan import Limits
from ops.recorder import record
from ops.reference.arithmetic import rounded_to_bytes, rounded_to_halves
from ops.reference.runner import ReferenceRunner
from ops.state.sequence import SequenceState

pytestmark = pytest.mark.emulated


def as_the_card_rounds(w: Weight, x):
    kind = kind_of(w)
    if kind in PANELS:
        return rounded_to_bytes(x)
    return rounded_to_halves(x) if kind == "F16" else x


class CardCase(Case):
    def check(self, steps: int | list[int] = 1, tolerance: float = 1e-5) -> None:
        """`steps`: how many of equal size, or the tokens of each."""
        sizes = steps if isinstance(steps, list) else [self.tokens] * steps
        reference = ReferenceRunner(record(self.forward), ("f16", "f16"), as_the_card_rounds)
        limits = Limits(max(sizes), max(sizes))
        card = open_card()
        runner = open_on_card(self.forward, limits, card)
        caches = [(one, SequenceState(one.pool)) for one in (runner, reference)]
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


@pytest.fixture(autouse=True)
def on_the_card(monkeypatch) -> None:
    """The cases of test_operators run on a card when this file imports them."""
    monkeypatch.setattr(test_operators, "Case", CardCase)


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


@pytest.mark.parametrize("outputs", [(), (4,), (0, 3, 2)])
def test_select_outputs(outputs):
    table = weight(V, 16)
    case = CardCase(lambda ops: ops.select_outputs(ops.embed(table)), outputs=outputs)
    if outputs:
        case.check()
    else:  # a chunk of a prompt: no row is wanted
        runner = open_on_card(case.forward, Limits(5, 5))
        assert runner.run(case.step(), [SequenceState(runner.pool)]).shape == (0, 16)
        runner.close()


@pytest.mark.parametrize("gating", get_args(Gating))
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


@pytest.mark.parametrize("groups", [1, 35])
def test_more_experts_than_a_warp_has_lanes(groups):
    table, router, bias = weight(V, 32), Linear(weight(70, 32)), weight(1, 70)
    each = Linear(weight(3, 32, "F32", 70))
    routing = Routing(70, 35, "sigmoid", groups=groups, used_groups=min(groups, 20))

    def forward(ops):
        x = ops.scale(ops.embed(table), 0.1)
        chosen = ops.route(ops.linear(router, x), routing, bias)
        return ops.expert_sum(ops.expert_linear(each, x, chosen), chosen)

    CardCase(forward, 2).check()


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


def layer(kind: str):
    return layer_of(kind, heads=HEADS)


@pytest.mark.parametrize("kind", ["Q8_0", "F16", "F32"])
def test_a_whole_layer(kind):
    tolerance = 2e-2  # q, k, v and shares in float16; so a byte of 127 may round otherwise
    CardCase(layer(kind), tokens=5).check(steps=3, tolerance=tolerance)


def test_steps_of_equal_counts_share_a_graph():
    case = CardCase(layer("Q8_0"), tokens=1)
    card = open_card()
    runner = open_on_card(case.forward, Limits(8, 8), card)
    cache = SequenceState(runner.pool)
    for position in range(4):
        runner.run(replace(case, start=position).step(), [cache])
    assert card.graphs == 1
    long = replace(case, start=4, tokens=8)
    runner.run(long.step(), [cache])
    assert card.graphs == 2
    runner.close()


def test_a_closed_runner_refuses():
    case = CardCase(layer("Q8_0"), tokens=1)
    runner = open_on_card(case.forward, Limits(8, 8))
    runner.close()
    runner.close()
    with pytest.raises(Exception, match="closed"):
        runner.run(case.step(), [SequenceState(runner.pool)])
