"""Every operator of the recorded CPU program against the NumPy definition, on edge shapes."""

import os
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import pytest
from make_gguf import random_weights
from passes import few, kernel_folder, open_on_cpu, resources

from ops.backend import CpuBackend
from ops.cpu.formats import bf16_formats, kernel_formats, quantized_formats
from ops.cpu.objects import ObjectStore
from ops.cpu.processor import host_features
from ops.cpu.rungs import choose_rung
from ops.interface import Activation, Gating, Linear, Rope, Routing, Step, Weight
from ops.memory_plan import Limits
from ops.narrowing import narrow
from ops.recorder import record
from ops.reference.arithmetic import ACTIVATIONS, rounded_to_bf16, rounded_to_bytes
from ops.reference.operators import Reference
from ops.reference.runner import ReferenceRunner
from ops.state.sequence import SequenceState
from quant.errors import ModelFileError
from quant.format import FORMATS

RANDOM = np.random.default_rng(11)
START = RANDOM.bit_generator.state
V = 50


def weight(rows: int, columns: int, kind: str = "F32", experts: int = 1) -> Weight:
    """Random values of deviation 1."""
    format_, shape = FORMATS[kind], (experts * rows, columns)
    data = random_weights(format_, shape, 1.0, RANDOM)
    return Weight("w", format_, columns, np.ascontiguousarray(data), experts)


def as_the_cpu_rounds(weight: Weight, x):
    if bf16_formats(choose_rung(host_features(), os.environ)).get(weight.format.name) == 1:
        return rounded_to_bf16(x)
    return rounded_to_bytes(x) if weight.format.name in quantized_formats() else x


@dataclass
class Case:
    """A forward pass over embedded tokens, compared on both backends."""

    forward: object
    tokens: int = 5
    outputs: tuple[int, ...] | None = None
    start: int = 0

    def step(self) -> Step:
        outputs = range(self.tokens) if self.outputs is None else self.outputs
        return Step(
            RANDOM.integers(0, V, self.tokens).astype(np.int32),
            np.arange(self.start, self.start + self.tokens, dtype=np.int32),
            np.array(outputs, np.int32),
        )

    def check(self, steps: int = 1, threads: int = 3, tolerance: float = 1e-5) -> None:
        kv, program = ("f32", "f32"), record(self.forward)
        reference = ReferenceRunner(program, kv, as_the_cpu_rounds)
        limits = Limits(max(self.tokens, 1), max(self.tokens, 1))
        cpu = CpuBackend(kv, resources(threads)).open(program, limits)
        caches = [(runner, SequenceState(runner.pool)) for runner in (cpu, reference)]
        for _ in range(steps):
            step = self.step()
            got, want = (runner.run(step, [cache]) for runner, cache in caches)
            scale = max(np.abs(want).max(), 1e-2)  # a sum may be 0
            np.testing.assert_allclose(got / scale, want / scale, atol=tolerance, rtol=0)
            self.start += self.tokens
        cpu.close()


@pytest.fixture(scope="module")
def compiled_at_once(request) -> None:
    """The kernels of the chosen formats: a process that compiles takes long to start."""
    chosen = [item for item in request.session.items if "compiled_at_once" in item.fixturenames]
    kinds = {item.callspec.params["kind"] for item in chosen}
    names = [f"{kernel}_{kind}" for kind in sorted(kinds) for kernel in ("embed", "linear")]
    ObjectStore(kernel_folder(), lambda compiling: None).prepare(names)


@pytest.mark.parametrize("kind", few(kernel_formats()))
@pytest.mark.parametrize(("rows", "tokens"), [(1, 1), (3, 1), (17, 4)])
def test_linear_and_embed(compiled_at_once, kind, rows, tokens):
    table, matrix = weight(V, 256, kind), Linear(weight(rows, 256, kind))
    Case(lambda ops: ops.linear(matrix, ops.embed(table)), tokens).check()


@pytest.mark.parametrize("kind", ["F32", "Q8_0", "Q6_K"])  # a kernel's loop each
def test_a_product_gives_the_same_bytes_with_any_number_of_tokens(kind):
    table, matrix = weight(V, 256), Linear(weight(40, 256, kind))
    step = Case(None, 18).step()
    cpu = open_on_cpu(lambda ops: ops.linear(matrix, ops.embed(table)), Limits(18, 18))
    whole = cpu.run(step, [SequenceState(cpu.pool)]).copy()
    for tokens in range(1, 18):  # as tiles of several sizes, the last of which are filled or not
        places = np.arange(tokens, dtype=np.int32)
        part = Step(step.tokens[:tokens], places, places)
        rows = cpu.run(part, [SequenceState(cpu.pool)])
        np.testing.assert_array_equal(rows, whole[:tokens], err_msg=f"{tokens} tokens")
    cpu.close()


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("columns", [1, 7, 33])
def test_linear_over_odd_row_lengths(kind, columns):
    table, matrix = weight(V, columns), Linear(weight(5, columns, kind), weight(1, 5))
    Case(lambda ops: ops.linear(matrix, ops.embed(table))).check()


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0", "Q4_K", "Q6_K"])
@pytest.mark.parametrize("tokens", [1, 3, 20])
def test_each_head_through_its_own_matrix(kind, tokens):
    table, matrices = weight(V, 3 * 256), Linear(weight(17, 256, kind, 3))
    Case(lambda ops: ops.head_linear(matrices, ops.embed(table)), tokens).check()


def test_linear_with_bias_and_scale():
    table, w = weight(V, 256), weight(6, 256, "Q8_0")
    matrix = Linear(w, weight(1, 6), weight(1, 1))
    Case(lambda ops: ops.linear(matrix, ops.embed(table))).check()


def test_parts_of_a_fused_matrix():
    table, fused = weight(V, 64), Linear(weight(12, 64, "Q8_0"), weight(1, 12))
    for part in ((0, 4), (4, 12)):
        Case(lambda ops, part=part: ops.linear(fused.part(*part), ops.embed(table))).check()


def test_embed_positions_and_add():
    table, places = weight(V, 40), weight(9, 40, "F16")
    Case(lambda ops: ops.add(ops.embed(table), ops.embed_positions(places)), 4, start=5).check()


def test_multiply():
    table, places = weight(V, 40), weight(9, 40, "F16")
    Case(lambda ops: ops.multiply(ops.embed(table), ops.embed_positions(places)), 4).check()


@pytest.mark.parametrize("segments", [1, 4])
def test_rms_norm(segments):
    table, w = weight(V, 24 * segments), Linear(weight(1, 24))
    Case(lambda ops: ops.rms_norm(ops.embed(table), w, 1e-5, 24)).check()


@pytest.mark.parametrize("bias", [None, "bias"])
def test_layer_norm(bias):
    table = weight(V, 31)
    w = Linear(weight(1, 31), weight(1, 31) if bias else None)
    Case(lambda ops: ops.layer_norm(ops.embed(table), w, 1e-5)).check()


def test_layer_norm_of_heads():
    table, w, shared = weight(V, 34), Linear(weight(2, 17), weight(2, 17)), Linear(weight(1, 17))

    def forward(ops):
        x = ops.layer_norm(ops.embed(table), w, 1e-5, 17)
        return ops.layer_norm(ops.scale(x, 3.0), shared, 1e-5, 17)

    Case(forward).check()


@pytest.mark.parametrize(
    ("rows", "columns", "stretch"),
    [(1, 17, None), (2, 17, None), (1, 34, 17), (1, 16, 17), (3, 17, 17), (1, 10, 10)],
)
def test_norms_of_widths_that_do_not_fit_are_refused(rows, columns, stretch):
    table, w = weight(V, 34), Linear(weight(rows, columns))
    for norm in ("layer_norm", "rms_norm"):
        with pytest.raises(ModelFileError):
            record(lambda ops, norm=norm: getattr(ops, norm)(ops.embed(table), w, 1e-5, stretch))


def test_a_norm_whose_biases_are_not_as_many_as_its_weights_is_refused():
    table, w = weight(V, 34), Linear(weight(2, 17), weight(1, 17))
    with pytest.raises(ModelFileError):
        record(lambda ops: ops.layer_norm(ops.embed(table), w, 1e-5, 17))


@pytest.mark.parametrize("stretch", [1, 6, 42])
def test_sums(stretch):
    table = weight(V, 42)
    Case(lambda ops: ops.sums(ops.embed(table), stretch)).check()


@pytest.mark.parametrize("width", [1, 7, 48])
@pytest.mark.parametrize("stretches", [1, 3])
def test_layer_norms_of_stretches_without_weights_and_with_a_row_for_each(width, stretches):
    table = weight(V, width * stretches)
    each = Linear(weight(stretches, width), weight(stretches, width))
    Case(lambda ops: ops.layer_norm(ops.embed(table), width, 1e-5)).check()
    Case(lambda ops: ops.layer_norm(ops.embed(table), each, 1e-5, width)).check()


@pytest.mark.parametrize("width", [1, 33])
@pytest.mark.parametrize(("low", "high"), [(-0.5, 0.25), (-np.inf, 0.0), (0.1, np.inf)])
def test_clamp(width, low, high):
    table = weight(V, width)
    Case(lambda ops: ops.clamp(ops.embed(table), low, high)).check(tolerance=0)


@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize("pairs", [1, 3, 4])
def test_rope(interleaved, pairs):
    table = weight(V, 24)
    turn = Rope(np.geomspace(1, 1e-3, pairs).astype(np.float32), 8, interleaved, 1.2)
    Case(lambda ops: ops.rope(ops.embed(table), turn), start=70_000).check()


def test_positions_may_count_from_another_start():
    table, turn = weight(V, 24), Rope(np.geomspace(1, 0.1, 4).astype(np.float32), 8, True)
    Case(lambda ops: ops.rope(ops.embed(table), replace(turn, start=3)), start=2).check()
    step = Step(np.arange(2, dtype=np.int32), np.array([5, 9], np.int32), np.zeros(0, np.int32))
    x = np.random.default_rng(1).standard_normal((2, 8), np.float32)
    earlier = replace(step, positions=step.positions - 3)
    moved = Reference(step, [None], None).rope(x, replace(turn, start=3))
    np.testing.assert_allclose(moved, Reference(earlier, [None], None).rope(x, turn), 1e-6)


@pytest.mark.parametrize("offset", [0, 1])
def test_temperature(offset):
    table = weight(V, 16)
    Case(lambda ops: ops.temperature(ops.embed(table), 0.1, 3, offset), 8).check()


@pytest.mark.parametrize("outputs", [(4,), (0, 2, 3)])
def test_wanted_rows_have_their_own_positions(outputs):
    table, turn = weight(V, 24), Rope(np.geomspace(1, 0.1, 4).astype(np.float32), 8, False)

    def forward(ops):
        x = ops.rope(ops.embed(table), turn)
        return ops.select_outputs(ops.temperature(ops.rope(x, turn), 0.1, 3))

    assert [op.inputs[0].rows for op in narrow(record(forward).operations)[2:]] == ["outputs"] * 3
    Case(forward, outputs=outputs, start=9).check()


@pytest.mark.parametrize("outputs", [(4,), (0, 2, 3)])
def test_wanted_rows_have_their_own_experts(outputs):
    table, router, experts = weight(V, 24), Linear(weight(4, 24)), Linear(weight(24, 24, experts=4))

    def forward(ops):
        x = ops.embed(table)
        chosen = ops.route(ops.linear(router, x), Routing(4, 2))
        y = ops.expert_sum(ops.expert_linear(experts, x, chosen), chosen)
        return ops.select_outputs(y)

    assert [op.inputs[0].rows for op in narrow(record(forward).operations)[2:]] == ["outputs"] * 4
    Case(forward, outputs=outputs).check()


def test_every_activation_is_defined():
    assert {*ACTIVATIONS, "clamped_swiglu"} == set(get_args(Activation))


@pytest.mark.parametrize("width", [1, 7, 48])
@pytest.mark.parametrize("stretches", [1, 3])
def test_norms_of_stretches_without_weights_and_with_a_row_for_each(width, stretches):
    table = weight(V, width * stretches)
    each = Linear(weight(stretches, width))
    Case(lambda ops: ops.rms_norm(ops.embed(table), width, 1e-5)).check()
    Case(lambda ops: ops.rms_norm(ops.embed(table), each, 1e-5, width)).check()


@pytest.mark.parametrize("width", [1, 7, 48])
@pytest.mark.parametrize("stretches", [1, 3])
def test_multiplication_by_a_number_a_stretch(width, stretches):
    table, numbers = weight(V, width * stretches), weight(V, stretches)
    factors = [Linear(weight(1, columns)) for columns in (stretches, width * stretches)]
    Case(lambda ops: ops.multiply(ops.embed(table), ops.embed(numbers))).check()
    for factor in factors:
        Case(lambda ops, factor=factor: ops.scale_by(ops.embed(table), factor)).check()


@pytest.mark.parametrize("used", [1, 3])
def test_multiplication_of_each_experts_result_by_its_weight(used):
    table, router, up = weight(V, 32), Linear(weight(4, 32)), Linear(weight(9, 32, experts=4))

    def forward(ops):
        x = ops.embed(table)
        chosen = ops.route(ops.linear(router, x), Routing(4, used))
        y = ops.multiply(ops.expert_linear(up, x, chosen), chosen.weights)
        return ops.expert_sum(y, chosen)

    Case(forward).check()


@pytest.mark.parametrize(("start", "stop"), [(0, 16), (3, 40), (39, 40)])
def test_columns_of_rows_and_of_stretches(start, stop):
    table = weight(V, 120)
    Case(lambda ops: ops.columns(ops.embed(table), start, stop)).check(tolerance=0)
    Case(lambda ops: ops.columns(ops.embed(table), start, stop, 40)).check(tolerance=0)


@pytest.mark.parametrize("stretches", [1, 3])
def test_join(stretches):
    tables = [weight(V, stretches * width) for width in (5, 16, 1)]
    Case(lambda ops: ops.join([ops.embed(t) for t in tables], stretches)).check(tolerance=0)


@pytest.mark.parametrize("width", [1, 7, 48])
@pytest.mark.parametrize(("streams", "results"), [(1, 4), (4, 4), (37, 1), (3, 2)])
def test_streams_mixed_by_factors_of_each_token(width, streams, results):
    table, factors = weight(V, streams * width), weight(V, results * streams)
    Case(lambda ops: ops.mix(ops.embed(table), ops.embed(factors), streams)).check()


@pytest.mark.parametrize("streams", [1, 2, 4, 7])
@pytest.mark.parametrize("iterations", [1, 2, 20])
def test_weights_of_streams_are_balanced(streams, iterations):
    table = weight(V, streams**2)
    Case(lambda ops: ops.balance(ops.embed(table), streams, iterations, 1e-3)).check()


def test_balanced_weights_sum_to_1_both_ways_and_are_transposed():
    step = Step(np.zeros(1, np.int32), np.zeros(1, np.int32), np.zeros(0, np.int32))
    logits = np.array([[0, 1, 2, 5, 0, 0, 0, 3, 0]], np.float32)
    balanced = Reference(step, [None], None).balance(logits, 3, 50, 0.0).reshape(3, 3)
    np.testing.assert_allclose(balanced.sum(0), 1, 1e-4)
    np.testing.assert_allclose(balanced.sum(1), 1, 1e-4)
    assert balanced[0, 1] == balanced.max()  # of 5, from stream 1 to 0


@pytest.mark.parametrize("width", [2, 16, 75])
@pytest.mark.parametrize("deviations", [0.0, 1.3])
def test_the_largest_of_a_row(width, deviations):
    table = weight(V, width)
    Case(lambda ops: ops.gaussian_top_k(ops.embed(table), deviations)).check()


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_activate(activation):
    table = weight(V, 16)
    Case(lambda ops: ops.activate(ops.embed(table), activation)).check()


@pytest.mark.parametrize("activation", [*sorted(ACTIVATIONS), "clamped_swiglu"])
def test_gate(activation):
    table, other = weight(V, 16), Linear(weight(16, 16))

    def forward(ops):
        x = ops.scale(ops.embed(table), 5.0)  # far enough to be clamped
        return ops.gate(x, ops.linear(other, x), activation)

    Case(forward).check()


def test_scale_and_softcap():
    table = weight(V, 16)
    Case(lambda ops: ops.softcap(ops.scale(ops.embed(table), 30.0), 20.0)).check()


@pytest.mark.parametrize("outputs", [(), (4,), (0, 3, 2)])
def test_select_outputs(outputs):
    table = weight(V, 16)
    case = Case(lambda ops: ops.select_outputs(ops.embed(table)), outputs=outputs)
    if outputs:
        case.check()
    else:  # a chunk of a prompt: no row is wanted
        limits = Limits(5, 5)
        cpu = open_on_cpu(case.forward, limits)
        assert cpu.run(case.step(), [SequenceState(cpu.pool)]).shape == (0, 16)
        cpu.close()


@pytest.mark.parametrize("gating", get_args(Gating))
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize(("total", "used"), [(1, 1), (5, 2), (8, 8)])
def test_experts(gating, normalize, total, used):
    table, router = weight(V, 32), Linear(weight(total, 32))
    up = Linear(weight(9, 32, "Q4_0", total), weight(total, 9), weight(1, total))
    down = Linear(weight(32, 9, "F16", total))
    routing = Routing(total, used, gating, normalize, 1.5)

    def forward(ops):
        x = ops.embed(table)
        chosen = ops.route(ops.linear(router, x), routing)
        y = ops.activate(ops.expert_linear(up, x, chosen), "silu")
        return ops.expert_sum(ops.expert_linear(down, y, chosen), chosen)

    Case(forward).check()


@pytest.mark.parametrize("kind", ["F32", "Q8_0", "Q6_K"])  # a kernel's loop each
def test_experts_give_the_same_bytes_with_any_number_of_threads_and_tokens(kind):
    table, router = weight(V, 256), Linear(weight(5, 256))
    up = Linear(weight(48, 256, kind, 5))
    step = Case(None, 26).step()

    def forward(ops):
        x = ops.embed(table)
        chosen = ops.route(ops.linear(router, x), Routing(5, 2, "softmax"))
        return ops.expert_sum(ops.expert_linear(up, x, chosen), chosen)

    def rows(threads: int, at_once: int):
        """Of all tokens, in passes of some."""
        cpu = open_on_cpu(forward, Limits(26, 26), threads=threads)
        state, results = SequenceState(cpu.pool), []
        for n in range(0, 26, at_once):
            some = slice(n, n + at_once)
            outputs = np.arange(len(step.tokens[some]), dtype=np.int32)
            part = Step(step.tokens[some], step.positions[some], outputs)
            results.append(cpu.run(part, [state]).copy())
        cpu.close()
        return np.concatenate(results)

    one_by_one = rows(1, 1)
    for threads, at_once in ((1, 26), (2, 26), (5, 26), (3, 7), (4, 1)):
        np.testing.assert_array_equal(rows(threads, at_once), one_by_one)


@pytest.mark.parametrize("gating", get_args(Gating))
@pytest.mark.parametrize(("groups", "used_groups"), [(1, 1), (4, 2), (8, 3), (4, 4)])
def test_experts_are_chosen_with_a_bias_and_from_the_best_groups(gating, groups, used_groups):
    table, router, bias = weight(V, 32), Linear(weight(8, 32)), weight(1, 8)
    each = Linear(weight(3, 32, "F32", 8))
    routing = Routing(8, 2, gating, groups=groups, used_groups=used_groups)

    def forward(ops):
        x = ops.embed(table)
        chosen = ops.route(ops.linear(router, x), routing, bias)
        return ops.expert_sum(ops.expert_linear(each, x, chosen), chosen)

    Case(forward, 16).check()


@pytest.mark.parametrize("gating", get_args(Gating))
def test_neighbours_can_stand_for_one_expert(gating):
    table, router = weight(V, 32), Linear(weight(6, 32))
    each, routing = Linear(weight(3, 32, "F32", 2)), Routing(6, 2, gating, neighbours=3)

    def forward(ops):
        x = ops.embed(table)
        chosen = ops.route(ops.linear(router, x), routing)
        return ops.expert_sum(ops.expert_linear(each, x, chosen), chosen)

    Case(forward, 16).check()


def test_the_weights_of_experts_for_neighbours_are_the_probabilities_with_their_ids():
    step = Step(np.zeros(1, np.int32), np.zeros(1, np.int32), np.zeros(0, np.int32))
    logits = np.array([[1, 2, 3, 0, 9, 8]], np.float32)
    routing = Routing(6, 2, "sigmoid", normalize=False, neighbours=2)
    chosen = Reference(step, [None], None).route(logits, routing)
    assert chosen.ids.tolist() == [[2, 2]]  # of 4 and 5
    np.testing.assert_allclose(chosen.weights, 1 / (1 + np.exp([[-3.0, -3.0]])), 1e-6)


@pytest.mark.parametrize("gating", get_args(Gating))
def test_experts_may_be_listed(gating):
    table, router, each = weight(V, 32), Linear(weight(6, 32)), Linear(weight(3, 32, "F32", 6))
    ids = np.random.default_rng(1).permuted(np.tile(np.arange(6), (V, 1)), axis=1)[:, :2]
    lists = Weight("lists", FORMATS["F32"], 2, ids.astype(np.float32).view(np.uint8))

    def forward(ops):
        x = ops.embed(table)
        listed = ops.embed(lists)
        chosen = ops.route(ops.linear(router, x), Routing(6, 2, gating), listed=listed)
        return ops.expert_sum(ops.expert_linear(each, x, chosen), chosen)

    Case(forward, 16).check()


def test_the_best_groups_are_those_with_the_largest_two_experts():
    logits = np.array([[5, 0, 0, 4, 4, 0]], np.float32)
    step = Step(np.zeros(1, np.int32), np.zeros(1, np.int32), np.zeros(0, np.int32))
    one = Reference(step, [None], None)
    assert one.route(logits, Routing(6, 2, "sigmoid")).ids.tolist() == [[0, 3]]
    from_groups = Routing(6, 2, "softmax_of_chosen", groups=2, used_groups=1)
    assert one.route(logits, from_groups).ids.tolist() == [[3, 4]]


def test_misfits_are_refused_at_recording():
    table, wrong = weight(V, 16), Linear(weight(4, 20))
    with pytest.raises(ModelFileError, match="20"):
        Case(lambda ops: ops.linear(wrong, ops.embed(table))).check()
