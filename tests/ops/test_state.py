"""What a sequence keeps: after any rewind, fork or shift, incremental equals full."""

import numpy as np
import pytest
from make_gguf import write_model
from passes import resources
from presets_gguf import PRESETS
from recurrent_bytes import check_same_bytes
from recurrent_model import CONTEXT, TAPS, WIDTH, write_recurrent
from test_operators import Case, V, weight

from lepton_cli.engine.decoding.window import Passes, Window
from lepton_cli.engine.loading import plan as loading
from ops.backend import CardBackend, backend_of
from ops.cpu.runner import CpuRunner
from ops.interface import DeltaHeads, Linear
from ops.memory_plan import Limits
from ops.operations.attention import Store
from ops.operations.base import Pages, Slot
from ops.operations.products import JoinedProducts
from ops.operations.registry import FUSED, RECORDED
from ops.state.blocks import MAX_CHECKPOINTS
from ops.state.sequence import SequenceState
from quant.gguf import GGUF

KV = ("f32", "f32")


@pytest.fixture
def path(tmp_path):
    return write_recurrent(tmp_path / "recurrent.gguf")


@pytest.fixture(params=["cpu", "reference"])
def passes(request, path):
    program = loading.build(GGUF.open(path), CONTEXT)
    runner = backend_of(request.param, KV, resources()).open(program, Limits(64, 8))
    yield Passes(runner, 64, 8)
    runner.close()


def test_a_programs_states_are_what_its_operators_keep(path):
    program = loading.build(GGUF.open(path), CONTEXT)
    first, slot, last = program.states
    assert isinstance(first, Pages) and isinstance(last, Pages)
    assert (first.layer, last.layer) == (0, 2)
    assert slot == Slot(1, "convolution", (TAPS - 1, WIDTH))


def test_a_programs_digest_is_of_what_it_computes(path, tmp_path):
    """The same for the same file, in any process; another for another constant or shape."""
    first, again = (loading.build(GGUF.open(path), CONTEXT).digest() for _ in range(2))
    assert first == again
    tiny = {"base": {}, "eps": {"llama.attention.layer_norm_rms_epsilon": 2e-5}}
    tiny["rope"] = {"llama.rope.freq_base": 5000.0}
    digests = set()
    for name, metadata in tiny.items():
        made = write_model(tmp_path / f"{name}.gguf", metadata=metadata)
        digests.add(loading.build(GGUF.open(made), 256).digest())
    made = write_model(tmp_path / "wide.gguf", weights="Q8_0")
    digests.add(loading.build(GGUF.open(made), 256).digest())
    assert len(digests) == 4


def test_every_operator_has_a_rule_on_each_backend():
    from ops.cpu.rules import table as cpu
    from ops.cuda.rules import table as card

    kinds = set(RECORDED + FUSED)
    assert set(cpu.RULES) == kinds - {Store, JoinedProducts}
    assert set(card.RULES) <= kinds - {Store}  # it refuses the others by name


def test_a_card_refuses_what_it_does_not_run(path):
    program = loading.build(GGUF.open(path), CONTEXT)
    why = CardBackend(None, KV, resources()).refuses(program) or ""
    assert "recurrent operator Convolve" in why and "layer 1" in why


def full(passes: Passes, ids: list[int]):
    """The last token's logits, of a pass over all from nothing."""
    window = Window(passes, CONTEXT)
    logits = np.array(window.all_logits(ids)[-1])
    window.clear()
    return logits


def same(passes: Passes, window: Window) -> None:
    """To the bit; the reference's sums depend on how many tokens enter together."""
    got = np.array(window.logits)  # valid until the next pass
    tolerance = 0 if isinstance(passes._runner, CpuRunner) else 1e-4
    np.testing.assert_allclose(got, full(passes, window.ids), rtol=0, atol=tolerance)


def read(window: Window, ids: list[int]) -> int:
    """How many tokens were there already."""
    cached = window.reuse(ids)
    for _ in window.prefill(ids):
        pass
    assert window.ids == ids
    return cached


def test_any_sequence_of_rewinds_gives_what_a_full_pass_gives(passes):
    rewind_at_random(passes, 25)


@pytest.mark.parametrize("preset", ["falcon-h1", "jamba", "mamba2", "minimax-01", "rwkv6", "rwkv7"])
def test_any_sequence_of_rewinds_of_other_recurrent_models(preset, tmp_path):
    """Some of which keep no keys and values at all."""
    length = {f"{PRESETS[preset].architecture}.context_length": CONTEXT}
    program = loading.build(
        GGUF.open(write_model(tmp_path / "m.gguf", preset, metadata=length)), CONTEXT
    )
    assert bool(program.pages) == (preset not in ("mamba2", "rwkv6", "rwkv7"))
    runner = backend_of("cpu", KV, resources()).open(program, Limits(64, 8))
    rewind_at_random(Passes(runner, 64, 8), 8)
    runner.close()


def rewind_at_random(passes: Passes, times: int) -> None:
    random = np.random.default_rng(8)
    window = Window(passes, CONTEXT)
    for _ in range(times):
        match random.integers(4):
            case 0:  # an undo or another question: a beginning of what is there, and something new
                kept = int(random.integers(0, len(window.ids) + 1))
                read(window, window.ids[:kept] + random.integers(3, 200, 9).tolist())
            case 1 if window.ids:  # guesses, of which some are wrong
                guesses = random.integers(3, 200, int(random.integers(1, 8))).tolist()
                window.append(guesses)
                wrong = int(random.integers(0, len(guesses)))
                window.drop_last(wrong)
                window.append([7])
            case 2 if len(window.ids) > 20:
                window.shift(5)
            case _:
                read(window, random.integers(3, 200, int(random.integers(2, 150))).tolist())
        same(passes, window)


def test_an_undo_enters_only_what_lies_behind_the_last_checkpoint(passes):
    window, random = Window(passes, CONTEXT), np.random.default_rng(1)
    prompt = random.integers(3, 200, 100).tolist()
    read(window, prompt)
    for token in (5, 6, 7):
        window.append([token])
    assert read(window, [*prompt, 9, 9]) == len(prompt) - 1
    assert read(window, prompt) == len(prompt) - 1
    same(passes, window)


def test_a_fork_goes_on_from_where_it_says_that_it_stands(passes):
    ids = np.random.default_rng(2).integers(3, 200, 40).tolist()
    window = Window(passes, CONTEXT)
    read(window, ids[:30])
    window._state.checkpoint()
    window.append([1])
    for wanted, reached in ((31, 31), (30, 30), (20, 0)):
        state, there = window._state.fork(wanted)
        assert there == reached
        other = Window(passes, CONTEXT)
        other._state, other.ids = state, window.ids[:there]
        read(other, [*window.ids[:there], 8, 9])
        same(passes, other)
        other.clear()
    assert window._state.fork(31)[1] == 31  # the others changed nothing here


def test_a_saved_state_goes_on_in_another_window(passes):
    ids = np.random.default_rng(3).integers(3, 200, 50).tolist()
    first, second = Window(passes, CONTEXT), Window(passes, CONTEXT)
    read(first, ids)
    first._state.checkpoint()
    first.append([4])
    second.restore(ids, first.save(len(ids)))
    assert second.ids == ids
    second.append([11])
    same(passes, second)


def test_a_step_that_is_broken_off_leaves_no_half_state(passes, monkeypatch):
    window = Window(passes, CONTEXT)
    read(window, [5, 6, 7, 8])
    run = passes._runner.run

    def broken(step, states, interrupt=None):
        run(step, states, interrupt)
        raise KeyboardInterrupt

    monkeypatch.setattr(passes._runner, "run", broken)
    with pytest.raises(KeyboardInterrupt):
        window.append([9])
    monkeypatch.undo()
    read(window, [5, 6, 7, 8, 10])
    same(passes, window)


def test_checkpoints_are_bounded_and_spread(passes):
    state = SequenceState(passes.pool)
    for position in range(100):
        state.reserve(position, position + 1)
        state.checkpoint()
    kept = state.checkpoints
    assert len(kept) == MAX_CHECKPOINTS and kept[0] == 1 and kept[-1] == 100
    assert state.rewind(50) == max(place for place in kept if place <= 50)


def test_without_slots_nothing_is_copied_and_any_place_is_reached():
    from ops.state.blocks import BlockPool
    from ops.state.layout import StateLayout

    state = SequenceState(BlockPool(StateLayout((Pages(0, 1, 16, 16),))))
    state.reserve(0, 300)
    state.checkpoint()
    assert state.rewind(17) == 17 and not state.checkpoints and state.slots is None
    assert state.fork(280)[1] == 280


@pytest.mark.parametrize(("width", "taps", "bias"), [(40, 3, True), (16, 4, False), (7, 1, True)])
def test_a_convolution_equals_its_definition_in_any_chunks(width, taps, bias):
    table, w = weight(V, width), Linear(weight(width, taps), weight(1, width) if bias else None)
    case = Case(lambda ops: ops.layer(0).convolve(ops.embed(table), w), tokens=2)
    case.check(steps=5)
    case.tokens, case.start = 9, 0
    case.check(steps=2)


DELTA_SHAPES = [  # heads, heads of keys, widths of keys and values, grouped, a decay for each row
    (4, 2, 32, 32, False, False),
    (4, 2, 32, 16, True, False),
    (3, 3, 13, 21, False, True),
    (1, 1, 128, 128, False, True),
    (2, 1, 5, 7, False, False),
]


def delta_case(heads, key_heads, width, values, grouped, per_row, tokens) -> Case:
    """A delta rule whose inputs are products of the tokens' embeddings."""
    decays = heads * (width if per_row else 1)
    widths = [key_heads * width, key_heads * width, heads * values, decays, heads]
    table = weight(V, 32)
    q, k, v, decay, rate = (Linear(weight(wide, 32)) for wide in widths)
    shape = DeltaHeads(heads, key_heads, width, values, width**-0.5, grouped)

    def forward(ops):
        layer, x = ops.layer(0), ops.scale(ops.embed(table), 0.2)
        keys = ops.scale(ops.linear(k, x), 0.3)
        factors = [ops.softcap(ops.linear(w, x), 1.0) for w in (decay, rate)]
        return layer.delta_rule(ops.linear(q, x), keys, ops.linear(v, x), *factors, shape)

    return Case(forward, tokens=tokens)


@pytest.mark.parametrize("shape", DELTA_SHAPES)
def test_a_delta_rule_equals_its_definition_in_any_chunks(shape):
    delta_case(*shape, tokens=1).check(steps=4)
    delta_case(*shape, tokens=9).check(steps=2)


@pytest.mark.parametrize("shape", DELTA_SHAPES)
def test_a_delta_rule_gives_the_same_bytes_for_any_chunk_batch_and_threads(shape):
    check_same_bytes(delta_case(*shape, tokens=20).forward, V)
