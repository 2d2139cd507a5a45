"""`python -m tests.gpu`, as far as it can be told without a card: its steps, refusal and claims."""

import io
import os
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from families import SHAPES, Planned, plan_tensors
from gpu import plan, report, sanitizer, speed, suites
from gpu.models import (
    DEEP_LIMIT,
    FLOAT_LIMIT,
    QUANTIZED_LIMIT,
    Side,
    alike,
    check_model,
    limit_of,
    step_of,
)
from gpu.report import Report
from gpu.steps import Skip, Steps
from gpu.worker import CardWorker
from make_gguf import write_model
from random_weights import fill, random_blocks
from shapes import write_shape

from ops.cuda.device.probe import Card, Missing, find_card
from quant.format import FORMATS, dequantize
from quant.gguf import GGUF

ROOT = Path(__file__).parents[2]
CARD = Card(0, "NVIDIA H200", (9, 0), 13000, 150_000_000_000)
ROW = speed.Row("llama8b", "Q4_0", 250.5, 1.2e12, 0.31, 0.30, 5000.4, 2.5)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def made(**options) -> tuple[Steps, io.StringIO]:
    stream = io.StringIO()
    return Steps(stream, clock=Clock(), **options), stream


def broken() -> str:
    raise ValueError("it broke\nas told here")


def skipping() -> str:
    raise Skip("no tool")


# --- steps


def test_a_step_that_fails_is_told_with_its_trace_and_the_next_is_run():
    steps, stream = made()
    steps.run("first", broken)
    steps.run("second", lambda: "all of it")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "FAILED  first  ValueError: it broke  (1.0 s)"
    assert any("as told here" in line for line in lines[1:-1])
    assert lines[-1] == "ok      second  all of it  (1.0 s)"
    assert steps.failed
    assert steps.summary == "1 ok, 1 FAILED, 0 skipped"


def test_what_cannot_be_done_here_is_neither_ok_nor_failed():
    steps, stream = made()
    steps.run("sanitizer", skipping)
    assert stream.getvalue().startswith("skipped sanitizer  no tool")
    assert not steps.failed
    assert steps.summary == "0 ok, 0 FAILED, 1 skipped"


def test_only_steps_of_the_pattern_are_run():
    steps, stream = made(only="bench*8b")
    for name in ("bench llama8b Q4_0", "bench llama1b Q4_0", "versions"):
        steps.run(name, lambda: "")
    assert [outcome.name for outcome in steps.outcomes] == ["bench llama8b Q4_0"]
    assert "versions" not in stream.getvalue()


def test_no_step_begins_when_the_time_is_up():
    told = []
    steps, _ = made(seconds=2, on_outcome=lambda: told.append(1))
    for name in ("a", "b"):
        steps.run(name, lambda: "done")
    assert [outcome.verdict for outcome in steps.outcomes] == ["ok", "skipped"]
    assert steps.left == 0 and len(told) == 2


def test_ctrl_c_ends_the_run():
    def interrupted() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made()[0].run("a", interrupted)


class Names(Steps):
    """Runs nothing."""

    def run(self, name, work) -> None:
        self.names = [*getattr(self, "names", []), name]


def test_quick_leaves_out_what_takes_long(monkeypatch):
    monkeypatch.setattr(plan, "find_data", lambda name: None)
    names = {}
    for quick in (False, True):
        steps = Names(io.StringIO())
        plan.run_all(steps, Report(CARD), quick=quick)
        assert len(set(steps.names)) == len(steps.names)
        names[quick] = steps.names
    assert set(names[True]) < set(names[False])
    assert not any("8b" in name for name in names[True])
    wanted = {"versions", "bandwidth", "kernels", "operators", "products", "attention"}
    assert wanted <= set(names[True])
    assert {f"bench {shape} {kind}" for shape, kind in speed.GOALS} <= set(names[False])


# --- without a card


@pytest.mark.skipif(not isinstance(find_card(), Missing), reason="there is a card")
@pytest.mark.parametrize("words", [["-m", "tests.gpu"], ["tests/gpu", "--quick"]])
def test_without_a_card_one_line_says_why(words):
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    found = find_card()
    assert line == f"tests.gpu needs a card: {found.reason}: {found.cure}"


# --- the process that has the card


def test_a_failure_in_the_worker_is_told_from_where_it_was_and_a_fresh_one_goes_on():
    steps, stream = made()
    with CardWorker() as worker:
        first = worker.run(os.getpid, 60)
        assert worker.run(os.getpid, 60) == first != os.getpid()
        steps.run("broken", lambda: worker.run(partial(int, "no number"), 60))
        assert worker.run(os.getpid, 60) != first
    text = stream.getvalue()
    assert text.startswith("FAILED  broken  ValueError: invalid literal for int()")
    assert "multiprocessing" in text


def test_what_never_ends_is_ended():
    with CardWorker() as worker:
        with pytest.raises(TimeoutError, match="no result after 0 s"):
            worker.run(partial(time.sleep, 60), 0.1)
        assert worker.run(partial(int, "3"), 60) == 3


# --- suites


def suite(tmp_path, monkeypatch, source: str) -> str:
    path = tmp_path / "test_sample.py"
    path.write_text(textwrap.dedent(source))
    monkeypatch.setattr(suites, "ROOT", tmp_path)
    return suites.run_suite(str(path), 60, ["-c", "/dev/null", "--rootdir", str(tmp_path)])


def test_a_suite_counts_what_passed(tmp_path, monkeypatch):
    source = """
        import pytest
        def test_a(): pass
        @pytest.mark.skip
        def test_b(): pass
        """
    assert suite(tmp_path, monkeypatch, source) == "1 tests, 1 skipped"


def test_a_suite_names_what_failed(tmp_path, monkeypatch):
    source = "def test_a(): assert 1 == 2\ndef test_b(): pass"
    with pytest.raises(AssertionError, match=r"(?s)1 of 2 failed: test_a\n.*assert 1 == 2"):
        suite(tmp_path, monkeypatch, source)


def test_a_suite_that_runs_nothing_is_no_proof(tmp_path, monkeypatch):
    with pytest.raises(AssertionError, match="no test was run"):
        suite(tmp_path, monkeypatch, "import pytest\n@pytest.mark.skip\ndef test_a(): pass")


def test_the_files_of_the_suites_are_there():
    assert all((ROOT / file).exists() for file in suites.FILES.values())


# --- models


def test_a_model_on_the_emulated_card_holds_all_claims(tmp_path):
    path = write_model(tmp_path / "tiny.gguf", weights="Q8_0", seed=3)
    told = check_model(path, split=True, chunks=(16, 7))
    assert "same bytes in chunks of 7, 16 and batches of 1 and 8" in told
    assert "greedy ids equal" in told and "half the layers: NMSE" in told


@pytest.mark.parametrize(
    ("kind", "layers", "limit"),
    [("Q8_0", 8, QUANTIZED_LIMIT), ("Q8_0", 9, DEEP_LIMIT), ("F16", 9, FLOAT_LIMIT)],
)
def test_quantized_and_deep_models_may_lie_farther_from_the_cpu(tmp_path, kind, layers, limit):
    path = write_model(tmp_path / "tiny.gguf", weights=kind, dimensions={"L": layers})
    assert limit_of(path) == limit


class Scripted(Side):
    """Greedy ids that a test gives, and one row of logits."""

    def __init__(self, ids: list[int], row) -> None:
        super().__init__(None, 64, 8, 4)
        object.__setattr__(self, "said", (ids, np.array(row, np.float32)))

    __slots__ = ("said",)

    def greedy(self, prompt, count):
        return self.said[0]

    def last(self, ids, chunk=None):
        return self.said[1]


def test_greedy_ids_may_differ_by_a_near_tie_only():
    card = Scripted([1, 3], [])
    told = alike(Scripted([1, 2], [0.0, -1.0, 1.0, 0.99]), card, 1e-3)
    assert told == "greedy ids equal up to a near-tie at 1"
    with pytest.raises(AssertionError, match="greedy id 1 differs: the CPU's is better by 1"):
        alike(Scripted([1, 2], [0.0, -1.0, 1.0, 0.0]), card, 1e-3)


def test_a_step_of_several_sequences_takes_their_ends():
    step = step_of([[5, 6, 7], [8]], [2, 1])
    assert step.tokens.tolist() == [6, 7, 8]
    assert step.positions.tolist() == [1, 2, 0]
    assert (step.outputs.tolist(), step.starts) == ([1, 2], (0, 2))


# --- files of real shape


@pytest.mark.parametrize("kind", ["Q4_0", "Q8_0", "Q4_K", "Q6_K", "F16"])
def test_random_blocks_spread_as_weights_do(kind):
    values = dequantize(FORMATS[kind], random_blocks(FORMATS[kind], 1 / 64)[:20_000])
    assert abs(values.mean()) < 4e-4
    assert values.std() == pytest.approx(1 / 64, rel=0.02)


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_a_matrix_is_filled_to_its_last_row(name):
    tensor = Planned("blk.0.attn_q.weight", FORMATS["Q8_0"], (3, 64), 0.1)
    assert fill(tensor).shape == (3, 68)
    names = [each.name for each in plan_tensors(SHAPES[name], FORMATS["Q8_0"], 10)]
    assert len(set(names)) == len(names)
    assert ("output.weight" in names) is not SHAPES[name].tied


def test_a_mixture_gives_some_matrices_more_bits(tmp_path, monkeypatch):
    small = {"V": 600, "L": 8, "D": 256, "H": 4, "K": 4, "d": 64, "F": 256}
    shape = type(SHAPES["llama8b"])(
        **{name: getattr(SHAPES["llama8b"], name) for name in SHAPES["llama8b"].__slots__} | small
    )
    monkeypatch.setitem(SHAPES, "llama8b", shape)
    write_shape("llama8b", tmp_path / "mixed.gguf", "Q4_K_M")
    tensors = GGUF.open(tmp_path / "mixed.gguf").tensors
    found = {name: tensor.format.name for name, tensor in tensors.items()}
    assert found["output.weight"] == "Q6_K" and found["token_embd.weight"] == "Q4_K"
    larger = [n for n in range(8) if found[f"blk.{n}.ffn_down.weight"] == "Q6_K"]
    assert larger == [0, 3, 6, 7]
    assert {found[f"blk.{n}.attn_q.weight"] for n in range(8)} == {"Q4_K"}


# --- the sanitizer


def test_the_sanitizer_is_found_where_it_may_be(tmp_path):
    none = {"PATH": str(tmp_path), "CUDA_HOME": str(tmp_path / "none")}
    packages = [str(tmp_path / "site")]
    wheel = tmp_path / "site" / "nvidia" / "cu13" / "compute-sanitizer" / "compute-sanitizer"
    wheel.parent.mkdir(parents=True)
    wheel.touch()
    assert sanitizer.find_sanitizer(none, packages) in (wheel, Path("/usr/local/cuda/bin"))
    toolkit = tmp_path / "cuda" / "bin" / "compute-sanitizer"
    toolkit.parent.mkdir(parents=True)
    toolkit.touch(0o755)
    in_toolkit = {"PATH": "", "CUDA_HOME": str(tmp_path / "cuda")}
    assert sanitizer.find_sanitizer(in_toolkit, packages) == toolkit
    assert sanitizer.find_sanitizer({"PATH": str(toolkit.parent)}, packages) == toolkit


def test_without_the_sanitizer_its_package_is_named(monkeypatch):
    monkeypatch.setattr(sanitizer, "find_sanitizer", lambda: None)
    with pytest.raises(Skip, match="pip install nvidia-cuda-sanitizer-api"):
        sanitizer.sanitize("memcheck", 1)


def test_what_the_sanitizer_finds_is_a_failure():
    output = "....\n========= Invalid __global__ read of size 4\n"
    with pytest.raises(AssertionError, match="Invalid __global__ read"):
        sanitizer.judged(sanitizer.FOUND_ERRORS, output, "races")
    with pytest.raises(Skip, match="Device not supported"):
        sanitizer.judged(1, "========= Error: Device not supported", "races")
    assert sanitizer.judged(0, "12 passed", "races") == "no races"


# --- the table


def test_goals_are_those_of_the_kind_of_card():
    assert speed.goal_of("llama8b", "Q8_0", "NVIDIA GeForce RTX 4090") == 0.65
    assert speed.goal_of("llama8b", "Q8_0", "NVIDIA H200") == 0.45


def test_a_row_says_whether_the_goal_is_reached():
    assert ROW.reached
    assert ROW.cells() == ("llama8b Q4_0", "250.5", "1200", "31.0 %", "30 %", "5000", "2.50")
    slower = speed.Row("llama8b", "Q4_0", 1.0, 1e9, 0.2, 0.3, 1.0, 9.0)
    assert slower.cells()[4] == "30 % (missed)"


def test_the_report_is_written_anew_after_each_step(tmp_path):
    steps, _ = made()
    steps.run("a", lambda: "fine")
    told = Report(CARD, 4.3e12, [ROW], steps.outcomes)
    told.write(tmp_path)
    text = (tmp_path / "gpu.md").read_text()
    assert "NVIDIA H200, compute 9.0, driver 13.0, 4300 GB/s copied" in text
    assert "| llama8b Q4_0 | 250.5 | 1200 | 31.0 % | 30 % | 5000 | 2.50 |" in text
    assert "- ok      a  fine" in text
    assert '"copy_bandwidth": 4300000000000.0' in (tmp_path / "gpu.json").read_text()
    assert report.versions()[0].startswith("numba-cuda ")
