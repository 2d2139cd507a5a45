"""Commands with a model that has an encoder: what answers, and what is refused with a cure."""

import json
import os
from pathlib import Path

import pytest
from make_gguf import write_model

import lepton_cli
from lepton_cli.__main__ import run
from lepton_cli.engine.measure.benchmark import workload
from lepton_cli.engine.measure.workload import Pass, Trial
from quant.gguf import GGUF

PROMPT = "translate hello to the world"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = write_model(tmp_path_factory.mktemp("m") / "t5.gguf", "t5", seed=3)
    lepton_cli.load(path).close()  # so that no test sees a note about compiling
    return path


@pytest.fixture
def lepton(model, monkeypatch, tmp_path, capfdbinary):
    """Runs a command without input: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def start(command: str, *args: str):
        with open(os.devnull, encoding="utf-8") as nothing:
            monkeypatch.setattr("sys.stdin", nothing)
            code = run([command, str(model), *args])
        out, err = capfdbinary.readouterr()
        return code, out.decode(), err.decode()

    return start


def test_run_prints_the_answer_of_the_prompt_as_it_is(lepton):
    code, out, err = lepton("run", PROMPT, "--temp", "0", "-n", "9")
    assert (code, err) == (0, "") and out.strip()
    code, report, err = lepton("run", PROMPT, "--temp", "0", "-n", "9", "--json")
    found = json.loads(report)
    assert (code, err, found["template"], found["text"]) == (0, "", None, out.rstrip("\n"))
    code, beams, err = lepton("run", PROMPT, "--beams", "2", "-n", "9")
    assert (code, err) == (0, "") and beams.strip()
    code, choice, err = lepton("run", PROMPT, "--choices", "yes,no")
    assert (code, err) == (0, "") and choice in ("yes\n", "no\n")


def test_a_batch_gives_the_same_answers(lepton):
    Path("rows.csv").write_text("text\nhello\nworld and the\n", encoding="utf-8")
    options = ("--temp", "0", "-n", "9")
    code, _, _ = lepton("batch", "rows.csv", "-p", "translate {text}", "-o", "out.jsonl", *options)
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert code == 0 and len(rows) == 2
    for row, text in zip(rows, ("hello", "world and the"), strict=True):
        _, out, _ = lepton("run", f"translate {text}", *options)
        assert out.rstrip("\n") == row["text"]


def test_a_benchmark_measures_the_encoder_and_the_decoder(lepton):
    common = ("-r", "1", "--no-warmup", "-o", "json")
    code, out, err = lepton("bench", "-p", "8", "-n", "4", "-pg", "8,2", *common)
    results = json.loads(out)
    assert code == 0, err
    assert [(each["n_prompt"], each["n_gen"]) for each in results] == [(8, 0), (0, 4), (8, 2)]
    assert all(each["avg_ts"] > 0 for each in results)
    code, out, _ = lepton("bench", "-p", "0", "-n", "3", "-d", "6", *common)  # behind 6 tokens
    assert (code, json.loads(out)[0]["n_depth"]) == (0, 6)


def test_the_work_of_a_pass_is_the_encoders_or_the_decoders(tmp_path):
    file = GGUF.open(write_model(tmp_path / "t5.gguf", "t5"))
    work = workload(file, 64, ("f16", "f16"))
    first, start, *others = work.passes(Trial(8, 2, 0), 512)
    assert first == Pass(0, 8, 0, 8, encodes=True)
    assert [start, *others] == [Pass(n, 1, 1, 8) for n in range(3)]
    assert work.passes(Trial(0, 1, 0), 512) == [Pass(1, 1, 1, 1)]
    matrices = {name for name in file.tensors if name.startswith("enc.blk.")}
    weights = sum(file.tensors[name].size for name in matrices if len(file.tensors[name].shape) > 1)
    assert work.cost(first).macs > 8 * weights * 0.9
    assert work.cost(Pass(1, 1, 1, 60)).macs > work.cost(Pass(1, 1, 1, 8)).macs  # attends to more


@pytest.mark.parametrize(
    ("args", "message", "cure"),
    [
        (("chat",), "has an encoder (t5): it answers single texts", "use lepton run"),
        (("bench", "-p", "8", "-n", "0", "-d", "4"), "pp8 @ d4: an encoder reads", "leave out -d"),
        (("run", "hi", "--overflow", "shift"), "cannot be dropped", "drop-old or middle"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_cure(lepton, args, message, cure):
    code, out, err = lepton(*args)
    assert (code, out) == (2, "")
    assert message in err and cure in err.splitlines()[1]
