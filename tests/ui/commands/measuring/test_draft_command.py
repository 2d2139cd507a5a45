"""`lepton draft`: what it tries, prints and remembers, and what `-md auto` makes of that."""

import json
import signal

import pytest
from make_gguf import write_model
from stories import story

from lepton_cli.__main__ import run
from lepton_cli.engine.drafting.measuring import Decoding, Measured, Round
from lepton_cli.ui.commands.measuring import draft as command

FEW = ("-c", "16", "-n", "4", "--chunks", "2", "--rounds", "2", "-t", "1", "--backend", "cpu")
GAINS = {"ngram-simple": 1.1, "small.gguf": 1.5, "without 1 layer": 1.2}


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("LLAMA_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def model(tmp_path):
    write_model(tmp_path / "small.gguf", dimensions={"L": 1})
    return str(write_model(tmp_path / "big.gguf", dimensions={"L": 4}))


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "story.txt"
    path.write_text(story(40), encoding="utf-8")
    return str(path)


@pytest.fixture
def told(capsys):
    """Runs the program; gives its exit code, stdout and stderr."""

    def tell(*words: str) -> tuple[int, str, str]:
        code = run([*words])
        out, err = capsys.readouterr()
        return code, out, "\n".join(line for line in err.splitlines() if "compiling" not in line)

    return tell


@pytest.fixture
def gains(monkeypatch):
    """Speed-ups by the name of the candidate, in place of the clock's."""
    found = dict(GAINS)

    def measured(name, answer, trial):
        guessed = Decoding(100, 1 / found.get(name, 0.8), drafted=100, accepted=60, checks=30)
        rounds = (Round(Decoding(100, 1.0), guessed),) * trial.rounds
        for number in range(len(rounds)):
            yield Measured(rounds[: number + 1])

    monkeypatch.setattr(command, "measure", measured)
    return found


def test_all_candidates_are_measured_on_the_model_itself(told, model, text):
    code, out, err = told("draft", model, text, *FEW, "--json")
    assert code == 0, err
    found = json.loads(out)
    names = [each["name"] for each in found["candidates"]]
    assert names == ["ngram-simple", "small.gguf", *(f"without {n}" for n in LAYERS)]
    assert found["prompts"] == 2 and found["prompt_tokens"] == 8
    assert all(len(each["speedups"]) == 2 for each in found["candidates"])
    assert [len(each["layers_left_out"]) for each in found["candidates"]] == [0, 0, 1, 2]


LAYERS = ("1 layer", "2 layers")


def test_the_best_is_marked_and_remembered_and_used(told, model, text, gains):
    code, out, err = told("draft", model, text, *FEW)
    assert code == 0 and err == "lepton: note: remembered for -md auto: small.gguf"
    rows = out.splitlines()
    [best] = [row for row in rows if row.startswith("*")]
    assert "small.gguf" in best and "60%" in best and "2.0" in best and "1.50x +/- 0.00" in best
    draft = model.replace("big", "small")
    assert rows[-1] == f"to use it: lepton run {model} -md {draft} --spec-type draft-simple"
    code, out, _ = told("draft", "--list")
    assert code == 0 and model in out and draft in out and "1.50x" in out
    listed = json.loads(told("draft", "--list", "--json")[1])["drafts"]
    assert [(each["type"], each["draft"]) for each in listed] == [("draft-simple", draft)]
    code, _, err = told("run", model, "a b", "--raw", "-n", "3", "-md", "auto", "-v")
    assert code == 0 and f"-md auto: {draft}, measured 1.50 times as fast" in err


def test_a_draft_without_a_model_is_remembered_too(told, model, text, gains):
    gains["small.gguf"] = 0.5
    gains["without 1 layer"] = 0.5
    assert "for -md auto: ngram-simple" in told("draft", model, text, *FEW)[2]
    code, _, err = told("run", model, "a b", "--raw", "-n", "3", "-md", "auto", "-v")
    assert code == 0 and "-md auto: ngram-simple" in err


def test_the_table_of_fast_models_fits_into_80_columns(told, model, text, gains):
    gains |= {"ngram-simple": 9.5, "without 2 layers": 9.1}
    rows = told("draft", model, text, *FEW)[1].splitlines()[:5]
    assert max(map(len, rows)) <= 80


def test_a_pruned_model_is_only_suggested(told, model, text, gains):
    gains["without 2 layers"] = 3.0
    code, out, err = told("draft", model, text, *FEW)
    row = out.splitlines()[-1]
    assert code == 0 and row.startswith(f"to make it: lepton prune {model} big-draft.gguf")
    assert "remembered for -md auto: small.gguf" in err
    words = row.removeprefix("to make it: lepton ").split()
    assert told(*words, "--dry-run")[0] == 0, "the command works as printed"


def test_what_does_not_pay_is_not_remembered(told, model, text, gains):
    gains.clear()
    code, out, _ = told("draft", model, text, *FEW)
    assert code == 0 and "*" not in out
    assert out.splitlines()[-1].startswith("none is faster than plain decoding")
    code, _, err = told("run", model, "a b", "--raw", "-n", "3", "-md", "auto")
    assert code == 2 and f"lepton draft {model} text.txt" in err


def test_what_was_remembered_stays_where_nothing_pays_now(told, model, text, gains):
    told("draft", model, text, *FEW)
    gains.clear()
    code, _, err = told("draft", model, text, *FEW)
    assert code == 0 and "-md auto still uses" in err
    assert told(*err.rpartition("lepton ")[2].split())[0] == 0, "the command works as printed"
    assert told("draft", "--list")[1] == ""


def test_a_table_is_printed_even_if_nothing_can_be_remembered(told, model, text, gains, tmp_path):
    (tmp_path / "state").write_text("no folder")
    code, out, err = told("draft", model, text, *FEW)
    assert code == 2 and "1.50x" in out and "XDG_STATE_HOME" in err


def test_a_remembered_draft_that_is_gone_or_changed_is_not_used(told, model, text, gains, tmp_path):
    told("draft", model, text, *FEW)
    small = tmp_path / "small.gguf"
    small.unlink()
    code, _, err = told("run", model, "a b", "--raw", "-n", "3", "-md", "auto")
    assert code == 0 and "is gone" in err and "no draft model is used" in err
    write_model(small, seed=9, dimensions={"L": 1})
    code, _, err = told("run", model, "a b", "--raw", "-n", "3", "-md", "auto")
    assert code == 0 and "has changed" in err


def test_a_draft_is_forgotten(told, model, text, gains):
    told("draft", model, text, *FEW)
    assert told("draft", model, "--forget") == (0, "", "")
    code, _, err = told("draft", model, "--forget")
    assert code == 0 and "no draft was remembered" in err
    assert told("draft", "--list")[1] == ""


def test_the_draft_of_a_model_is_forgotten_when_the_file_is_moved_or_gone(
    told, model, text, gains, tmp_path
):
    told("draft", model, text, *FEW)
    moved = tmp_path / "elsewhere" / "moved.gguf"
    moved.parent.mkdir()
    moved.write_bytes((tmp_path / "big.gguf").read_bytes())
    (tmp_path / "big.gguf").unlink()
    assert told("draft", str(moved), "--forget")[0] == 0 and told("draft", "--list")[1] == ""
    told("draft", str(moved), text, *FEW, "--candidates", "ngram-simple")
    moved.unlink()
    assert str(moved) in told("draft", "--list")[1]
    assert told("draft", str(moved), "--forget") == (0, "", "")
    assert told("draft", "--list")[1] == ""


def test_candidates_are_named_and_others_skipped_with_notes(told, model, text, gains, tmp_path):
    other = write_model(tmp_path / "gpt2.gguf", "gpt2")
    named = f"ngram-simple,{other},nothing-like-it,draft-mtp"
    code, out, err = told("draft", model, text, *FEW, "--candidates", named, "--json")
    assert code == 0
    assert [each["name"] for each in json.loads(out)["candidates"]] == ["ngram-simple"]
    notes = [line for line in err.splitlines() if "skipped" in line]
    assert len(notes) == 3
    assert "different vocabulary" in notes[0] and "no next-token head" in notes[2]
    code, out, err = told("draft", model, text, *FEW, "--candidates", str(other))
    assert code == 2 and not out and "no candidate is left" in err


def test_after_an_interrupt_the_table_so_far_is_printed(told, model, text, gains, monkeypatch):
    measure = command.measure

    def interrupted(name, answer, trial):
        if name == "small.gguf":
            signal.raise_signal(signal.SIGINT)
        yield from measure(name, answer, trial)

    monkeypatch.setattr(command, "measure", interrupted)
    code, out, err = told("draft", model, text, *FEW)
    assert code == 130 and "interrupted" in err
    assert "ngram-simple" in out and "itself" not in out and "remembered for" not in err
    assert told("draft", "--list")[1] == ""


def test_an_interrupt_while_layers_are_ranked_opens_no_model(told, model, text, monkeypatch):
    def interrupted(file, windows, start):
        signal.raise_signal(signal.SIGINT)
        assert not list(windows), "nothing more is read"
        return iter(())

    monkeypatch.setattr(command, "pruned_candidates", interrupted)
    monkeypatch.setattr(command, "open_measured", None)
    code, out, err = told("draft", model, text, *FEW)
    assert code == 130 and not out and "interrupted: 0 candidates" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-c", "4096"), "a window needs 4096"),
        (("--draft-max", "0"), "nothing is guessed"),
        (("--backend", "reference"), "not speeds"),
        (("--rounds", "1"), "2 or more"),
    ],
)
def test_what_cannot_be_measured_is_refused(told, model, text, words, said):
    code, out, err = told("draft", model, text, *FEW, *words)
    assert code == 2 and not out and said in err


@pytest.mark.parametrize("architecture", ["t5", "bert", "dream"])
def test_models_that_take_no_drafts_are_refused(told, text, tmp_path, architecture):
    path = write_model(tmp_path / "m.gguf", architecture)
    code, _, err = told("draft", str(path), text, *FEW)
    assert code == 2 and "neither drafts nor takes drafts" in err
