"""`lepton perplexity`: where its text comes from, what it prints where, and how it ends."""

import io
import json
import signal

import pytest
from make_gguf import write_model
from stories import story

from lepton_cli.__main__ import run
from lepton_cli.ui.commands.measuring import perplexity as command
from lepton_cli.ui.reports.measuring import loss_plot

WORDS = ("perplexity", "builtin", "--backend", "cpu", "-c", "64")


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "story.txt"
    path.write_text(story(40) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture
def told(capsys):
    """Runs the command; gives its exit code, stdout and stderr."""

    def tell(*words: str) -> tuple[int, str, str]:
        code = run([*WORDS, *words])
        out, err = capsys.readouterr()
        told = [line for line in err.splitlines() if "compiling" not in line]  # of a first run
        return code, out, "\n".join(told)

    return tell


def test_the_result_is_one_line(told, text):
    code, out, err = told(text)
    assert code == 0 and not err
    assert out.startswith("PPL = ") and out.count("\n") == 1


def test_a_word_the_file_option_and_stdin_name_the_same_text(told, text, monkeypatch):
    _, wanted, _ = told(text)
    assert told("-f", text)[1] == wanted
    with open(text, encoding="utf-8") as file:
        monkeypatch.setattr("sys.stdin", file)
        assert told()[1] == wanted
    with open(text, encoding="utf-8") as file:
        monkeypatch.setattr("sys.stdin", file)
        assert told("-")[1] == wanted


def test_json_holds_the_figures_and_the_curves(told, text):
    line = told(text)[1]
    found = json.loads(told(text, "--json")[1])
    assert line == f"PPL = {found['perplexity']:.4f} +/- {found['error']:.4f}\n"
    curve = found["curve"]
    assert curve["first_place"] == 33 and len(curve["loss_of_places"]) == 31
    assert len(curve["loss_of_windows"]) == found["windows"] == found["windows_of_text"] > 2
    assert found["scored_tokens"] == 31 * found["windows"]
    mean = sum(curve["loss_of_windows"]) / found["windows"]
    assert mean == pytest.approx(found["loss"])


def test_chunks_and_stride_are_heeded(told, text):
    found = json.loads(told(text, "--json", "--chunks", "2", "--ppl-stride", "16")[1])
    assert found["windows"] == 2 and found["scored_tokens"] == 32 and found["context"] == 72


def test_the_plot_goes_before_the_result_or_beside_json(told, text):
    _, out, err = told(text, "--plot")
    assert out.startswith("loss by place") and out.splitlines()[-1].startswith("PPL = ")
    assert not err
    _, out, err = told(text, "--plot", "--json")
    assert json.loads(out) and err.startswith("loss by place")


def test_after_an_interrupt_the_windows_so_far_are_printed(told, text, monkeypatch):
    measure = command.measure_perplexity

    def interrupted(*given):
        for found in measure(*given):
            yield found
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(command, "measure_perplexity", interrupted)
    code, out, err = told(text)
    assert code == 130 and out.startswith("PPL = ")
    assert "interrupted after 1 window" in err
    monkeypatch.undo()
    assert out == told(text, "--chunks", "1")[1]


def test_a_short_text_is_an_error_with_a_context_that_works(told, text):
    code, out, err = told(text, "-c", "4096")
    assert code == 2 and not out and "a window needs 4096" in err
    context = err.rpartition("-c ")[2].strip()
    code, out, err = told(text, "-c", context)
    assert code == 0, err


def test_no_text_and_two_texts_are_errors(told, text, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    code, _, err = told()
    assert code == 2 and "lepton perplexity builtin -f text.txt" in err
    code, _, err = told(text, "-f", text)
    assert code == 2 and "both given" in err


def test_an_encoder_is_refused(capsys, tmp_path, text):
    path = write_model(tmp_path / "bert.gguf", "bert")
    assert run(["perplexity", str(path), text, "-c", "8", "--backend", "cpu"]) == 2
    assert "is an encoder" in capsys.readouterr().err


class Narrow(io.StringIO):
    encoding = "ascii"

    @property
    def buffer(self):
        return self

    def write(self, raw):
        return super().write(raw.decode("ascii"))


def test_a_plot_is_plain_where_there_is_no_utf8():
    stream = Narrow()
    loss_plot.write_plot(stream, "losses", [1.0, 2.0, 3.0], ("1", "3"))
    title, *rows, axis = stream.getvalue().splitlines()
    assert title == "losses" and len(rows) == loss_plot.HEIGHT
    assert rows[0] == "  3.000 |  #" and rows[-1] == "  1.000 |.##" and axis == "         1 3"


def test_many_points_of_a_plot_become_means():
    assert loss_plot.means([1.0, 3.0, 5.0, 7.0], 2) == [2.0, 6.0]
    assert loss_plot.means([1.0], 5) == [1.0]


@pytest.fixture
def questions(tmp_path):
    def write(*rows: dict) -> str:
        path = tmp_path / "questions.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        return str(path)

    return write


QUESTION = {"prompt": "Once upon a", "choices": ["time", "of of"], "answer": 0}


def test_choices_give_both_accuracies(told, questions):
    file = questions(QUESTION, QUESTION | {"answer": "B"})
    code, out, err = told("--choices", file)
    assert code == 0 and not err
    assert out == "accuracy 50.00 +/- 50.00 %, normalized 50.00 +/- 50.00 %\n"
    found = json.loads(told("--choices", file, "--json")[1])
    assert found["accuracy"] == 0.5 and found["questions"] == 2


def test_a_wrong_row_of_choices_is_named(told, questions, text):
    code, out, err = told("--choices", questions(QUESTION, {"prompt": "a"}))
    assert code == 2 and not out and "row 2: there is no 'choices'" in err
    code, _, err = told("--choices", questions(QUESTION | {"prompt": "a dog " * 5000}))
    assert code == 4 and "row 1 has" in err
    code, _, err = told("--choices", questions())
    assert code == 2 and "no questions" in err
    code, _, err = told(text, "--choices", questions(QUESTION))
    assert code == 2 and "takes no text" in err
