"""Products by matrix tiles give the same bytes as without: by a model of the tiles in memory."""

import numpy as np
import pytest
from passes import resources
from test_operators import V, weight
from tile_model import tile_kernels

from ops.cpu.formats import quantized_formats
from ops.cpu.kernels.limits import TILES_LOOP
from ops.cpu.kernels.simd.memory import PARTS_PER_THREAD
from ops.cpu.layout import ITEMS_AT_ONCE, MOST_ROWS, PANEL_ROWS
from ops.cpu.measures import limits
from ops.cpu.objects import ObjectStore
from ops.cpu.processor import host_features
from ops.cpu.rungs import ladder, reached
from ops.cpu.runner import CpuRunner
from ops.interface import Linear, Routing, Step
from ops.memory_plan import Limits
from ops.recorder import record
from ops.state.sequence import SequenceState
from quant.format import FORMATS

NAMES = [rung.name for rung in reached(host_features(), ladder())]
FEW, SOME, MANY = (1, 7), (8, 16, 17, 24), (32, 33, 40, 71)


@pytest.fixture(scope="module")
def both():
    """This machine's kernels, and those with tiles."""
    allowed = resources()
    store = ObjectStore(allowed.kernels, allowed.on_compile)
    return store, tile_kernels(store)


def logits(kernels, program, tokens: int, threads: int):
    runner = CpuRunner(program, ("f32", "f32"), Limits(tokens, tokens), threads, kernels)
    ids = np.arange(tokens, dtype=np.int32) % V
    places = np.arange(tokens, dtype=np.int32)
    result = runner.run(Step(ids, places, places), [SequenceState(runner.pool)]).copy()
    runner.close()
    return result


def check(both, forward, counts, threads=(2,)):
    program = record(forward)
    for tokens in counts:
        for number in threads:
            plain, tiled = (logits(kernels, program, tokens, number) for kernels in both)
            assert plain.any()
            np.testing.assert_array_equal(tiled, plain, err_msg=f"{tokens} tokens")


def dense(kind: str, rows: int = 56):
    columns = 768 if FORMATS[kind].block_size > 32 else 544  # more parts than are taken at once
    table, matrix = weight(V, columns), Linear(weight(rows, columns, kind))
    return lambda ops: ops.linear(matrix, ops.embed(table))


def experts(kind: str):
    """Most rows meet the first of the experts; an activation, a bias and a factor of each."""
    table, router = weight(V, 256), Linear(weight(4, 256))
    gate, up = (Linear(weight(72, 256, kind, experts=4)) for _ in range(2))

    def forward(ops):
        x = ops.embed(table)
        chosen = ops.route(ops.linear(router, x), Routing(4, 2))
        y = ops.gate(*(ops.expert_linear(each, x, chosen) for each in (gate, up)), "silu")
        return ops.expert_sum(y, chosen)

    return forward


def test_a_dense_product_by_tiles_gives_the_same_bytes(both):
    check(both, dense("Q4_K"), (*FEW, *SOME, *MANY))
    assert list(both[1].compiled) == ["linear_Q4_K"]


def test_more_panels_and_tokens_than_are_taken_at_once_give_the_same_bytes(both):
    panels = 2 * PARTS_PER_THREAD * (ITEMS_AT_ONCE + 1)
    check(both, dense("Q4_K", panels * PANEL_ROWS - 3), (40,), threads=(1,))
    check(both, dense("Q4_K"), (MOST_ROWS + 33,))


@pytest.mark.weekly
def test_products_of_experts_by_tiles_give_the_same_bytes(both):
    check(both, experts("Q6_K"), (*FEW, 20, 90))
    assert "gated_expert_linear_Q6_K_silu" in both[1].compiled


def test_any_number_of_threads_gives_the_same_bytes(both):
    check(both, dense("Q4_K"), (33,), threads=(1, 64))


@pytest.mark.weekly
@pytest.mark.parametrize("kind", sorted(quantized_formats()))
def test_tiles_give_the_same_bytes_for_every_format(both, kind):
    check(both, dense(kind), (*FEW, *SOME, *MANY))


@pytest.mark.skipif("amx" not in NAMES, reason="this CPU has no AMX, or the system refuses it")
@pytest.mark.parametrize("product", [dense, experts])
@pytest.mark.parametrize("kind", ["Q8_0", "Q4_K", "Q6_K", "MXFP4"])
def test_amx_gives_the_bytes_of_avx512(monkeypatch, product, kind):
    allowed, stores = resources(), []
    for name in ("avx512", "amx"):
        monkeypatch.setenv("LEPTON_CPU", name)
        stores.append(ObjectStore(allowed.kernels, allowed.on_compile))
    check(stores, product(kind), (*FEW, *SOME, *MANY), threads=(1, 2))


@pytest.mark.parametrize(("kind", "deep"), [("Q4_0", 64), ("BF16", 32)])
def test_the_meter_knows_how_much_tiles_multiply(both, monkeypatch, kind, deep):
    """Its products over the time of a call, which is made up."""
    monkeypatch.setattr(limits, "ROUNDS", 3)
    monkeypatch.setattr(limits, "BUFFER_BYTES", 1 << 20)
    _, tiled = both
    meter = limits.LimitMeter(2, tiled, kind)
    monkeypatch.setattr(meter, "_timed", lambda program: 4.0)
    assert meter.measure().products == 2 * 3 * TILES_LOOP * 4 * 16 * 16 * deep
    monkeypatch.undo()
    assert meter._seconds(meter._method.kernel, 1) > 0
    meter.close()
