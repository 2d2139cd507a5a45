"""Models that are opened with adapters: rescaled while open, told apart; wrong files refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from head_model import with_head
from make_adapter import write_lora, write_vector
from make_gguf import write_model

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.decoding.scheduler import Request
from lepton_cli.engine.events import Done
from lepton_cli.engine.loading.adapters import AdapterFile, reopened
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.model import Model, open_model
from lepton_cli.engine.sampling.sampler import Sampling
from ops.cpu.weights.files import WeightFiles
from quant.errors import LeptonError, ModelFileError, UsageError

IDS = np.random.default_rng(3).integers(3, 250, 80).tolist()
GREEDY = Generation(Sampling(temperature=0), 12, ignore_eos=True, split_reasoning=False)
PLAIN = LoadOptions("cpu", ctx=256)


@pytest.fixture
def model(tmp_path) -> Path:
    return write_model(tmp_path / "m.gguf")


@pytest.fixture
def adapter(tmp_path, model) -> Path:
    return write_lora(tmp_path / "style.gguf", model)


def opened(path: Path, *adapters: AdapterFile, options: LoadOptions = PLAIN) -> Model:
    return open_model(path, replace(options, adapters=adapters))


def answer(model: Model, ids=IDS) -> tuple[int, ...]:
    *_, done = model.stream(ids, GREEDY)
    assert isinstance(done, Done)
    return done.token_ids


# --- opened again


def test_adapters_of_a_chat_are_opened_again_with_their_scales(tmp_path, model, adapter):
    vector = AdapterFile(write_vector(tmp_path / "v.gguf"), 2.0, "control vector", (1, 1))
    with opened(model, AdapterFile(adapter, 0.5), vector) as one:
        one.adapters.rescale(0, 0.25)
        saved = json.loads(json.dumps(one.adapters.saved()))
        assert reopened(saved) == (AdapterFile(adapter, 0.25), vector)
    with opened(model) as one:
        assert one.adapters.saved() == []
    write_lora(adapter, model, seed=6)
    with pytest.raises(UsageError, match="is not the adapter that it was"):
        reopened(saved)
    adapter.unlink()
    with pytest.raises(UsageError, match=r"style\.gguf"):
        reopened(saved)


@pytest.mark.parametrize("change", [{"path": 3}, {"layers": [1]}, {"scale": "x"}, {"scale": 1e30}])
def test_a_record_of_an_adapter_that_is_odd_is_refused(model, adapter, change):
    with opened(model, AdapterFile(adapter)) as one:
        (saved,) = one.adapters.saved()
    with pytest.raises(UsageError):
        reopened([{**saved, **change}])
    with pytest.raises(UsageError):
        reopened([7])


# --- rescaling


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("kind", ["lora", "control vector"])
def test_after_a_switch_answers_are_those_of_a_fresh_start(tmp_path, model, adapter, backend, kind):
    path = adapter if kind == "lora" else write_vector(tmp_path / "v.gguf")
    options = replace(PLAIN, backend=backend)
    fresh = []
    for scale in (3.0, 0.5, 0.0):
        with opened(model, AdapterFile(path, scale, kind), options=options) as one:
            fresh.append((one.logits(IDS).tobytes(), answer(one), one.fingerprint, one.identity))
    assert len({logits for logits, *_ in fresh}) == 3
    with opened(model, AdapterFile(path, 3.0, kind), options=options) as one:
        for scale, expected in zip((3.0, 0.5, 0.0), fresh, strict=True):
            one.adapters.rescale(0, scale)
            found = answer(one), one.fingerprint, one.identity
            assert (one.logits(IDS).tobytes(), *found) == expected


def test_a_switch_reads_the_window_anew(model, adapter):
    with opened(model, AdapterFile(adapter)) as one:
        answer(one)
        one.adapters.rescale(0, 1.0)  # no change
        assert one.window.ids
        one.adapters.rescale(0, 2.0)
        assert not one.window.ids


def test_an_answer_that_has_begun_does_not_go_on_with_another_scale(model, adapter):
    with opened(model, AdapterFile(adapter)) as one:
        events = one.stream(IDS, replace(GREEDY, max_tokens=40))
        for _ in range(4):
            next(events)
        one.adapters.rescale(0, 2.0)
        with pytest.raises(UsageError, match="another prompt"):
            list(events)


def test_a_batch_and_beams_use_the_present_scale(model, adapter):
    def all_of(one: Model) -> tuple[object, ...]:
        [outcome] = one.batch([Request(0, tuple(IDS), GREEDY)])
        assert outcome.done
        return outcome.done.token_ids, one.beams(IDS, GREEDY, 2)[0].token_ids

    with opened(model, AdapterFile(adapter, 4.0)) as fresh:
        expected = all_of(fresh)
    with opened(model, AdapterFile(adapter, 0.0)) as one:
        assert all_of(one) != expected
        one.adapters.rescale(0, 4.0)
        assert all_of(one) == expected


def test_a_batch_that_has_begun_does_not_go_on_with_another_scale(model, adapter):
    requests = [Request(n, tuple(IDS), replace(GREEDY, max_tokens=2 + 9 * n)) for n in range(2)]
    with opened(model, AdapterFile(adapter)) as one:
        outcomes = one.batch(requests)
        next(outcomes)
        one.adapters.rescale(0, 2.0)
        with pytest.raises(UsageError, match="rescaled while a batch was running"):
            next(outcomes)


def test_embeddings_follow_a_new_scale_up_to_the_judging_head(tmp_path):
    model = write_model(tmp_path / "m.gguf", "qwen3-rank")
    names = ["blk.0.ffn_up.weight", "cls.output.weight"]
    ranked = replace(PLAIN, pooling="rank")
    adapter = write_lora(tmp_path / "a.gguf", model, names)

    def found(first: float, second: float) -> bytes:
        with opened(model, AdapterFile(adapter, first), options=ranked) as one:
            one.adapters.rescale(0, second)
            return one.embed([IDS], normalize=False).tobytes()

    assert found(1.0, 1.0) == found(0.0, 1.0) != found(0.0, 0.0)


def test_guesses_change_no_answer(tmp_path, model, adapter):
    """Neither earlier text's nor the model's own head's, which adapters reach in parts."""
    ids, headed = IDS[:20] * 4, with_head(tmp_path / "h.gguf")
    beside = write_lora(tmp_path / "b.gguf", headed, ["blk.0.ffn_up.weight", "output.weight"])
    for path, used in ((model, adapter), (headed, beside)):
        answers = []
        for kinds in ((), "auto"):
            options = replace(PLAIN, spec_types=kinds)
            with opened(path, AdapterFile(used, 0.0), options=options) as one:
                first = answer(one, ids)
                one.adapters.rescale(0, 4.0)
                answers.append((first, answer(one, ids), one.logits(ids).tobytes()))
        assert answers[0] == answers[1] and answers[0][0] != answers[0][1]


def test_an_adapter_may_have_matrices_for_the_head_alone(tmp_path):
    headed = with_head(tmp_path / "h.gguf")
    beside = write_lora(tmp_path / "b.gguf", headed, ["blk.0.ffn_up.weight", "blk.2.ffn_up.weight"])
    for kinds in ((), "auto"):
        with opened(headed, AdapterFile(beside), options=replace(PLAIN, spec_types=kinds)) as one:
            assert answer(one)


def test_an_audit_log_names_adapters_and_their_present_scales(tmp_path, model, adapter):
    with opened(model, AdapterFile(adapter)) as one:
        one.audit(tmp_path / "log")
        answer(one)
        one.adapters.rescale(0, 0.25)
        answer(one)
    lines = [json.loads(line)["model"] for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["adapters"][0]["scale"] for line in lines] == [1.0, 0.25]
    assert lines[0]["identity"] != lines[1]["identity"]


# --- what is kept


def test_the_prompt_cache_tells_scales_apart(model, adapter):
    options = replace(PLAIN, prefixes=1 << 24)
    with opened(model, AdapterFile(adapter, 2.0), options=options) as one:
        expected = answer(one)
        assert one.remember() is None
        one.adapters.rescale(0, -2.0)
        *_, done = one.stream(IDS, GREEDY)
        assert isinstance(done, Done) and done.stats.cached_tokens == 0
        one.adapters.rescale(0, 2.0)
        *_, done = one.stream(IDS, GREEDY)
        assert isinstance(done, Done) and done.stats.cached_tokens > 60
        assert done.token_ids == expected


def test_packed_weights_are_found_again_with_an_adapter(tmp_path, monkeypatch, model):
    """Though other operators are fused, so that weights are placed in another order."""
    monkeypatch.setattr("ops.cpu.weights.packing.SETTLED", 0)
    folder = tmp_path / "kept"
    monkeypatch.setattr(WeightFiles, "of", lambda *_: WeightFiles(folder, 1 << 30, least=1 << 16))

    def names(*adapters: AdapterFile) -> set[str]:
        with opened(model, *adapters) as one:
            answer(one)
            assert one.weights is not None and one.weights.finish()
        return {path.name for path in folder.iterdir()}

    small = write_lora(tmp_path / "a.gguf", model, ["blk.0.ffn_gate.weight"])  # not worth a file
    alone = names()
    assert len(alone) == 1 and names(AdapterFile(small)) == alone


# --- what is refused


def test_the_memory_of_adapters_is_planned(model, adapter):
    with opened(model) as plain, opened(model, AdapterFile(adapter)) as adapted:
        assert adapted.plan.weights > plain.plan.weights
        [state] = adapted.adapters.states
        assert state.about.startswith("LoRA of rank 4 on 14 matrices") and state.name == "style"


WRONG = {
    "another architecture": {"general.architecture": "qwen2"},
    "another kind": {"adapter.type": "ia3"},
    "no number": {"adapter.lora.alpha": float("nan")},
    "no sane number": {"adapter.lora.alpha": 1e30},
    "tokens switch on": {"adapter.alora.invocation_tokens": 7},
}


@pytest.mark.parametrize("what", WRONG)
def test_adapters_of_other_kinds_are_refused(tmp_path, model, what):
    wrong = write_lora(tmp_path / "a.gguf", model, metadata=WRONG[what])
    with pytest.raises(ModelFileError) as refused:
        opened(model, AdapterFile(wrong))
    assert str(wrong) in refused.value.message and refused.value.hint


Q = "blk.0.attn_q.weight"
WRONG_TENSORS = {
    "has no tensor blk.9.attn_q.weight": {
        "blk.9.attn_q.weight.lora_a": np.ones((4, 64), np.float32),
        "blk.9.attn_q.weight.lora_b": np.ones((64, 4), np.float32),
    },
    f"{Q} is for 64 x 32, the model's is 64 x 64": {f"{Q}.lora_a": np.ones((4, 32), np.float32)},
    f"{Q} is for 32 x 64, the model's is 64 x 64": {f"{Q}.lora_b": np.ones((32, 4), np.float32)},
    f"the halves of {Q} do not belong together": {f"{Q}.lora_b": np.ones((64, 5), np.float32)},
    f"{Q}.lora_a is missing": {f"{Q}.lora_a": None},
    "no half of a low-rank adapter": {"blk.0.attn_q.bias": np.ones(64, np.float32)},
    "blk.0.attn_norm.weight is used in a way": {
        "blk.0.attn_norm.weight.lora_a": np.ones((4, 64), np.float32),
        "blk.0.attn_norm.weight.lora_b": np.ones((1, 4), np.float32),
    },
}


@pytest.mark.parametrize("message", WRONG_TENSORS)
def test_tensors_that_do_not_belong_to_the_model_are_refused(tmp_path, model, message):
    wrong = write_lora(tmp_path / "a.gguf", model, tensors=WRONG_TENSORS[message])
    with pytest.raises(ModelFileError) as refused:
        opened(model, AdapterFile(wrong))
    assert message in refused.value.message and str(wrong) in refused.value.message
    assert refused.value.hint


def test_norms_in_an_adapters_file_are_left_out(tmp_path, model, adapter):
    norm = {"blk.0.attn_norm.weight": np.full(64, 9, np.float32)}
    other = write_lora(tmp_path / "n.gguf", model, tensors=norm)
    with opened(model, AdapterFile(adapter)) as one, opened(model, AdapterFile(other)) as two:
        assert one.logits(IDS).tobytes() == two.logits(IDS).tobytes()


def test_a_table_that_is_the_output_too_is_not_adapted(tmp_path):
    tied = write_model(tmp_path / "m.gguf", tensors={"output.weight": None})
    wrong = write_lora(tmp_path / "a.gguf", tied, ["token_embd.weight"])
    with pytest.raises(ModelFileError, match="output matrix"):
        opened(tied, AdapterFile(wrong))


@pytest.mark.parametrize(("width", "layer"), [(32, 1), (64, 2), (64, 40)])
def test_control_vectors_of_other_models_are_refused(tmp_path, model, width, layer):
    wrong = write_vector(tmp_path / "v.gguf", width, [layer])
    with pytest.raises(ModelFileError, match="the model"):
        opened(model, AdapterFile(wrong, 1.0, "control vector"))


def test_layers_without_a_direction_are_refused(tmp_path, model):
    vector = write_vector(tmp_path / "v.gguf")
    with pytest.raises(UsageError, match="no direction for layers 7 to 9"):
        opened(model, AdapterFile(vector, 1.0, "control vector", (7, 9)))


def test_files_in_each_others_place_name_the_right_option(tmp_path, model, adapter):
    vector = write_vector(tmp_path / "v.gguf")
    cases = [
        (model, AdapterFile(vector), "--control-vector"),
        (model, AdapterFile(adapter, 1.0, "control vector"), "--lora"),
        (model, AdapterFile(model), "lepton run"),
        (model, AdapterFile(model, 1.0, "control vector"), "lepton run"),
        (adapter, None, "--lora"),
        (vector, None, "--control-vector"),
    ]
    for path, used, cure in cases:
        with pytest.raises(ModelFileError) as refused:
            opened(path, *([used] if used else []))
        assert cure in (refused.value.hint or "")


def test_one_file_is_not_used_twice(tmp_path, model, adapter):
    link = tmp_path / "link.gguf"
    link.symlink_to(adapter)
    with pytest.raises(UsageError, match="given twice"):
        opened(model, AdapterFile(adapter), AdapterFile(link, 0.5))
    copy = shutil.copy(adapter, tmp_path / "copy.gguf")
    with opened(model, AdapterFile(adapter), AdapterFile(copy)) as both:
        assert len(both.adapters.states) == 2


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), -1e39, 1e7])
def test_a_scale_is_a_number(model, adapter, scale):
    with pytest.raises(UsageError, match="scale is"):
        AdapterFile(adapter, scale)
    with opened(model, AdapterFile(adapter)) as one:
        with pytest.raises(UsageError, match="scale is"):
            one.adapters.rescale(0, scale)
        with pytest.raises(UsageError, match="no adapter 2"):
            one.adapters.rescale(1, 1.0)


@pytest.mark.parametrize("what", ["cut", "missing", "folder"])
def test_files_that_cannot_be_read_are_told(tmp_path, model, adapter, what):
    path = tmp_path / f"{what}.gguf"
    if what == "cut":
        path.write_bytes(adapter.read_bytes()[:-100])
    elif what == "folder":
        path.mkdir()
    with pytest.raises(LeptonError) as refused:
        opened(model, AdapterFile(path))
    assert str(path) in refused.value.message and refused.value.hint
