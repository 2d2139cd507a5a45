"""The whole program on a card of which all is real but the card (see stub_program.py).

Kernels are compiled and assembled for it; what cuda-bindings asks goes to a stub of the driver,
whose launches run the compiled PTX.
"""

import re

import pytest
from test_cuda_driver import run, stub  # noqa: F401  (a fixture)

STORY = ("run", "builtin", "--no-stdin", "-s", "3", "-n", "6", "tell me a story about a fox")
GREETING = ("run", "builtin", "--no-stdin", "--temp", "0", "-n", "6", "hi")


@pytest.fixture(scope="module")
def lepton(stub):  # noqa: F811
    """Runs a command on the card, all whose kernels were compiled ahead: its process."""

    def start(*arguments: str):
        done = run(["-m", "stub_program", *arguments], LD_LIBRARY_PATH=str(stub))
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    told = start("warmup", "builtin").stdout  # another run of tests may have shared its kernels
    assert re.search(r"^(compiled \d+|nothing to do: the) kernels for sm_89 ", told, re.M), told
    return start


def on_the_cpu(*arguments: str) -> str:
    done = run(["-m", "lepton_cli", *arguments, "--backend", "cpu"])
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_was_warmed_up_is_not_compiled_again(lepton):
    said = lepton("warmup", "builtin").stdout.splitlines()
    assert said[1] == "nothing to do: the kernels for sm_89 are compiled already"


@pytest.mark.parametrize("asked", [STORY, GREETING], ids=["drawn", "greedy"])
def test_the_card_answers_as_the_cpu(lepton, asked):
    """Drawn on the card, four tokens ahead."""
    answer = lepton(*asked, "--backend", "cuda", "-v")
    assert "Stub GPU" in answer.stderr and "layers on the GPU: 4 of 4" in answer.stderr
    assert "compiling" not in answer.stderr
    assert answer.stdout == on_the_cpu(*asked)


def test_some_layers_on_the_card(lepton):
    answer = lepton(*STORY, "-ngl", "2", "-v")
    assert "layers on the GPU: 2 of 4" in answer.stderr
    assert answer.stdout == on_the_cpu(*STORY)


def test_rows_are_answered_together(lepton, tmp_path):
    rows = tmp_path / "rows.txt"
    rows.write_text("hi\nthanks\njson?\n")
    asked = ("batch", "builtin", str(rows), "--temp", "0", "-n", "4", "--output-template", "{text}")
    assert lepton(*asked, "--backend", "cuda").stdout == on_the_cpu(*asked)


def test_the_bench_tells_the_limits_of_the_card(lepton):
    table = lepton("bench", "builtin", "--backend", "cuda", "-p", "34", "-n", "2", "-r", "1").stdout
    assert re.search(r"\| CUDA +\|.*\| +pp34 \|", table) and "GB/s" in table
