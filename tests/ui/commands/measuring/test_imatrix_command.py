"""`lepton imatrix`: collects, continues, merges, shows; replaces nothing unasked."""

import signal

import pytest
from make_gguf import write_model
from stories import story

from lepton_cli.__main__ import run
from lepton_cli.engine.imatrix.collecting import Collector
from lepton_cli.engine.imatrix.files import read_matrix


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "story.txt"
    path.write_text(story(40) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.gguf"


@pytest.fixture
def told(capsys, text, out):
    """Collects of the built-in model; gives the exit code and stderr."""

    def tell(*words: str, model: str = "builtin") -> tuple[int, str]:
        given = ("imatrix", model, text, "-c", "64", "--backend", "cpu", "-o", str(out))
        code = run([*given, *words])
        shown = capsys.readouterr()
        assert not shown.out
        return code, shown.err

    return tell


def interrupted_after(monkeypatch, count: int) -> None:
    collect = Collector.collect

    def interrupted(self):
        for found in collect(self):
            if found.done == count:
                signal.raise_signal(signal.SIGINT)
            yield found

    monkeypatch.setattr(Collector, "collect", interrupted)


def same_tensors(one, other) -> bool:
    return all(
        entry.sums == pytest.approx(other.entries[name].sums, rel=1e-5)
        for name, entry in one.entries.items()
    )


def test_a_stopped_run_is_continued_by_the_same_command(told, out, monkeypatch):
    assert told()[0] == 0
    whole = read_matrix(out)
    out.unlink()
    with monkeypatch.context() as patched:
        interrupted_after(patched, 2)
        code, err = told()
    assert code == 130 and "the same command continues" in err
    assert read_matrix(out).chunks == 2
    assert told()[0] == 0
    assert read_matrix(out).chunks == whole.chunks > 3 and same_tensors(whole, read_matrix(out))
    before = out.read_bytes()
    code, err = told()
    assert code == 0 and "is complete" in err and out.read_bytes() == before


def test_a_file_of_another_run_is_kept_unless_it_may_be_replaced(told, out, text):
    assert told("--chunks", "2")[0] == 0
    before = out.read_bytes()
    code, err = told("--chunks", "1")
    assert code == 2 and "--overwrite" in err and out.read_bytes() == before
    assert told("--chunks", "1", "--overwrite")[0] == 0
    assert read_matrix(out).chunks == 1


def test_the_file_is_saved_while_it_is_collected_and_copies_are_kept(told, out, monkeypatch):
    interrupted_after(monkeypatch, 3)
    assert told("--output-frequency", "2", "--save-frequency", "2")[0] == 130
    assert read_matrix(out.with_name("out.gguf.at_2")).chunks == 2
    assert read_matrix(out).chunks == 3


def test_a_dat_that_was_interrupted_cannot_be_continued(told, tmp_path, monkeypatch):
    old = "-o", str(tmp_path / "old.dat")
    with monkeypatch.context() as patched:
        interrupted_after(patched, 2)
        code, err = told(*old)
    assert code == 130 and "cannot be continued" in err and "same command" not in err
    code, err = told(*old)
    assert code == 2 and "--overwrite" in err


def test_parts_of_a_text_are_merged_to_the_whole(told, out, tmp_path, capsys):
    first, rest, both = tmp_path / "first.gguf", tmp_path / "rest.gguf", tmp_path / "both.dat"
    assert told()[0] == 0
    assert told("--chunks", "2", "-o", str(first))[0] == 0
    assert told("--chunk", "2", "-o", str(rest))[0] == 0
    given = ("--in-file", str(first), "--in-file", str(rest))
    assert run(["imatrix", *given, "-o", str(both), "--output-format", "gguf"]) == 0
    assert read_matrix(both).chunks == read_matrix(out).chunks
    assert same_tensors(read_matrix(out), read_matrix(both))
    assert run(["imatrix", *given, "-o", str(both)]) == 2
    assert "exists" in capsys.readouterr().err
    added = tmp_path / "added.gguf"
    assert told("--chunk", "2", "--in-file", str(first), "-o", str(added))[0] == 0
    assert same_tensors(read_matrix(out), read_matrix(added))


def test_statistics_are_a_table(told, out, capsys):
    assert told("--chunks", "1")[0] == 0
    assert run(["imatrix", "--show-statistics", "--in-file", str(out)]) == 0
    head, first, *_ = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["layer", "weight", "sum"]
    assert first.split()[:2] == ["0", "attn_k.weight"]
    assert run(["imatrix", "--show-statistics"]) == 2
    assert "--in-file FILE" in capsys.readouterr().err


def test_a_matrix_of_another_model_is_refused(told, out, tmp_path):
    assert told("--chunks", "1")[0] == 0
    other = str(write_model(tmp_path / "other.gguf"))
    code, err = told("-c", "8", model=other)
    assert code == 2 and "it was made of another model" in err


def test_an_encoder_and_a_short_text_are_refused(told, tmp_path):
    code, err = told("-c", "8", model=str(write_model(tmp_path / "bert.gguf", "bert")))
    assert code == 2 and "is an encoder" in err
    code, err = told("-c", "9999")
    assert code == 2 and "a window needs 9999" in err
    code, err = told("--chunk", "9999")
    assert code == 2 and "skips all of" in err


def test_the_model_and_the_text_are_never_replaced(told, tmp_path, text):
    model = write_model(tmp_path / "model.gguf")
    before = model.read_bytes()
    for out in (str(model), text):
        code, err = told("-c", "8", "-o", out, "--overwrite", model=str(model))
        assert code == 2 and "is what is read" in err
    assert model.read_bytes() == before


def test_with_a_model_a_text_is_expected_beside_other_matrices(out, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    assert run(["imatrix", "-m", "builtin", "--in-file", "a.gguf", "-o", str(out)]) == 2
    assert "there is no text" in capsys.readouterr().err
