"""The Python API's verbs: what the commands do, as functions that print nothing."""

import inspect
import math

import pytest
from make_adapter import write_lora
from make_folder import write_folder
from make_gguf import write_model

import lepton_cli
from lepton_cli.engine.imatrix.files import read_matrix
from lepton_cli.engine.loading.adapters import AdapterFile
from quant.errors import UsageError
from quant.gguf import GGUF

TEXT = "the cat sat on the mat and the dog lay by the door of the house. " * 4


def test_every_name_is_there_and_says_what_it_does():
    for name in lepton_cli.__all__:
        assert (inspect.getdoc(getattr(lepton_cli, name)) or "").strip(), name
    with pytest.raises(AttributeError, match="'lepton_cli' has no attribute 'shrink'"):
        lepton_cli.shrink  # noqa: B018


def test_a_model_is_made_smaller_and_compared(tmp_path, capsys):
    model = write_model(tmp_path / "a.gguf", dimensions={"L": 3})
    small = tmp_path / "b.gguf"
    found = lepton_cli.prune(model, small, drop_layers=[1], channels=0.5)
    assert (found.before, found.after) == (model.stat().st_size, small.stat().st_size)
    ranked = lepton_cli.prune(model, layers=1, text=TEXT, ctx=32)
    assert len(ranked.layers) == 1
    assert lepton_cli.verify(small).faults == ()
    assert lepton_cli.diff(model, small).any and not lepton_cli.diff(model, model).any
    one, other = (lepton_cli.perplexity(each, TEXT, ctx=32) for each in (model, small))
    both = lepton_cli.compare(model, small, TEXT, ctx=32).divergence
    assert both.mean.value > 0
    assert math.exp(both.loss.value) == pytest.approx(other.perplexity.value, rel=1e-6)
    assert math.exp(both.reference_loss.value) == pytest.approx(one.perplexity.value, rel=1e-6)
    assert capsys.readouterr() == ("", "")


def test_an_importance_matrix_is_collected_and_written(tmp_path):
    model, out = write_model(tmp_path / "a.gguf"), tmp_path / "a.dat"
    found = lepton_cli.imatrix(model, TEXT, out, ctx=32, windows=2, dataset="cats")
    assert (found.chunks, found.datasets) == (2, ("cats",))
    assert found.entries["blk.0.attn_q.weight"].counts.tolist() == [64.0]
    written = read_matrix(out)
    assert (written.chunks, written.datasets) == (2, ("cats",))
    with pytest.raises(UsageError, match="exists"):
        lepton_cli.imatrix(model, TEXT, out, ctx=32)


def test_a_model_is_quantized_by_its_importance(tmp_path):
    model = write_model(tmp_path / "a.gguf", dimensions={"D": 64, "F": 64})
    matrix = lepton_cli.imatrix(model, TEXT, tmp_path / "i.gguf", ctx=32, windows=2)
    assert matrix.chunks == 2
    paths = [
        lepton_cli.quantize(model, tmp_path / f"{name}.gguf", "q4_0", imatrix=given)
        for name, given in (("plain", None), ("guided", tmp_path / "i.gguf"))
    ]
    differences = lepton_cli.diff(*paths)
    assert {change.name for change in differences.values_changed} <= {*matrix.entries}
    assert differences.values_changed
    same = lepton_cli.prune(model, channels=0.5, imatrix=tmp_path / "i.gguf")
    assert same.parts[0].after == 32


def test_a_model_is_quantized_to_a_size(tmp_path):
    model = write_model(tmp_path / "a.gguf", dimensions={"D": 64, "F": 64})
    out = tmp_path / "b.gguf"
    found = lepton_cli.quantize_to_size(model, out, "7bpw", TEXT, ctx=32)
    weights = sum(tensor.size for tensor in GGUF.open(model).tensors.values())
    assert out.stat().st_size <= 7 * weights / 8
    assert found.plan.loss > 0 and found.measured(out).value > 0


def test_drafts_are_measured_and_give_the_same_answers(tmp_path):
    model = write_model(tmp_path / "a.gguf", dimensions={"L": 3})
    lepton_cli.prune(model, tmp_path / "b.gguf", drop_layers=[2])
    found = lepton_cli.draft(
        model, TEXT, [tmp_path / "b.gguf"], ctx=32, tokens=8, rounds=2, draft_p_min=0
    )
    assert [candidate.kind for candidate, _ in found] == ["ngram-simple", "draft-simple"]
    assert all(len(measured.rounds) == 2 for _, measured in found)
    assert all(measured.rate > 0 and measured.plain_rate > 0 for _, measured in found)


def test_a_model_is_split_and_merged_again(tmp_path):
    model = write_model(tmp_path / "a.gguf")
    first, *others = lepton_cli.split(model, tmp_path / "s", max_tensors=9)
    assert others
    merged = lepton_cli.merge(first, tmp_path / "b.gguf")
    assert not lepton_cli.diff(model, merged).any
    with pytest.raises(UsageError, match="exists"):
        lepton_cli.merge(first, merged)


def test_a_model_of_transformers_is_converted_and_gets_its_adapter(tmp_path):
    folder = write_folder(tmp_path / "folder", "llama").path
    model = lepton_cli.convert(folder, tmp_path / "a.gguf", type="F32")
    adapter = AdapterFile(write_lora(tmp_path / "lora.gguf", model), 0.5)
    merged = lepton_cli.merge_lora(model, tmp_path / "b.gguf", [adapter])
    assert lepton_cli.diff(model, merged).values_changed


def test_the_memory_of_a_model_is_planned_without_opening_it(tmp_path):
    found = lepton_cli.plan(write_model(tmp_path / "a.gguf"), contexts=[32, 64])
    assert [each.plan.context for each in found.settings[:2]] == [32, 64]
    assert all(each.plan.weights > 0 for each in found.settings)


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda model: lepton_cli.prune(model, layers=1), "layers are ranked by a text"),
        (lambda model: lepton_cli.prune(model, channels=0.5, by="size"), "by is 'size'"),
        (lambda model: lepton_cli.perplexity(model, "hi", ctx=32), "a window needs 32"),
        (lambda model: lepton_cli.split(model, "x", max_size="2X"), "is no size"),
        (
            lambda model: lepton_cli.quantize(model, "x", "Q4_0", tensor_types=[("(", "Q8_0")]),
            "tensor_types .*is no regular expression",
        ),
        (lambda model: lepton_cli.quantize_to_size(model, model, "9k", ""), "is what is read"),
        (lambda model: lepton_cli.prune(model, model, layers=1, text=""), "is what is read"),
        (lambda model: lepton_cli.merge_lora(model, "x", [], type="Q9"), "type is 'Q9'"),
    ],
)
def test_what_cannot_be_asked_is_an_error(call, said, tmp_path):
    with pytest.raises(UsageError, match=said):
        call(write_model(tmp_path / "a.gguf"))


@pytest.mark.parametrize(
    "asked, said",
    [
        ({}, "nothing is said"),
        ({"channels": float("nan")}, "--channels is nan"),
        ({"heads": 2.0}, "--heads is 2"),
        ({"layers": -3, "text": "a b " * 99, "ctx": 16}, "-3 more are to be left out"),
        ({"drop_layers": [9]}, r"layers \[9\]"),
        ({"sparsity": "2:4", "channels": 0.5}, "are both given"),
    ],
)
def test_what_prune_cannot_do_is_refused_as_on_the_command_line(tmp_path, asked, said):
    with pytest.raises(UsageError, match=said):
        lepton_cli.prune(write_model(tmp_path / "a.gguf"), **asked)


def test_prune_refuses_the_importance_of_another_model_and_never_replaces_its_own(tmp_path):
    model, path = write_model(tmp_path / "a.gguf"), tmp_path / "i.gguf"
    lepton_cli.imatrix(model, "a b " * 99, path, ctx=16)
    with pytest.raises(UsageError, match="is what is read"):
        lepton_cli.prune(model, path, channels=0.5, imatrix=path, overwrite=True)
    other = write_model(tmp_path / "b.gguf", dimensions={"L": 1})
    with pytest.raises(UsageError, match=r"has no weight blk\.1"):
        lepton_cli.prune(other, channels=0.5, imatrix=path)


def test_quantize_never_replaces_the_importance_that_it_reads(tmp_path):
    model, path = write_model(tmp_path / "a.gguf"), tmp_path / "i.gguf"
    lepton_cli.imatrix(model, "a b " * 99, path, ctx=16)
    with pytest.raises(UsageError, match="is what is read"):
        lepton_cli.quantize(model, path, "Q4_0", imatrix=path, overwrite=True)
