"""Starting: what is imported when, Ctrl-C at any moment, and what is told of compiling."""

import os
import re
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from make_gguf import write_model

import lepton_cli
from lepton_cli.__main__ import run
from lepton_cli.engine import model as engine
from lepton_cli.engine.measure import warmup
from lepton_cli.engine.measure.warmup import Compiling
from lepton_cli.ui.reports.compile_notes import CompileNotes
from ops import backend
from ops.backend import CpuBackend
from ops.compiled.kernel_folder import KernelFolder, pack
from ops.cuda.device.probe import Card, Missing
from ops.files.own_files import ForeignFileError
from ops.machine import ThreadChoice
from quant.errors import LeptonError, ModelFileError, OutOfMemoryError

ROOT = Path(__file__).parents[3]
HELLO = ("run", "builtin", "hi", "-n", "1", "--temp", "0")


def python(script: str, *args: str, **how: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = [sys.executable, "-c", script, *args]
    return subprocess.run(command, capture_output=True, text=True, env=environment, **how)


# --- imports


HEAVY = """
import sys
from lepton_cli.__main__ import run
code = run(sys.argv[1:])
options = 'lepton_cli.ui.arguments.options.'
heavy = {'numba', 'rich', 'matplotlib', 'markdown_it', 'prompt_toolkit', 'jinja2'}
heavy |= {options + 'texts', options + 'measuring', options + 'bench'}  # of other commands
print(*sorted(heavy & set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


def test_a_run_imports_no_compiler():
    done = python(HEAVY, *HELLO)
    told = [line for line in done.stderr.splitlines() if "compiling" not in line]  # a cold cache
    assert (done.returncode, done.stdout, told) == (0, "Hello\n", ["jinja2"])


def test_a_run_without_template_imports_no_template_engine():
    done = python(HEAVY, *HELLO, "--raw")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "")


def test_a_batch_without_template_imports_no_template_engine():
    done = python(HEAVY, "batch", "builtin", "-", "--raw", "-n", "1", input="hi\n")
    assert done.returncode == 0
    assert "jinja2" not in done.stderr.splitlines()[-1].split()


def test_commands_for_texts_import_no_template_engine():
    names = ", ".join(f"lepton_cli.ui.commands.texts.{name}" for name in ("embed", "similar"))
    done = python(
        f"import sys, {names}, lepton_cli.ui.commands.texts.rerank; "
        "print({'jinja2', 'jsonschema', 'llguidance'} & set(sys.modules))"
    )
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_a_command_builds_only_its_own_options():
    script = HEAVY.replace("'numba'", "'lepton_cli.ui.declarations.vectors', 'numba'")
    environment = {name: "" for name in os.environ if name.startswith("LEPTON_")}
    done = python(f"import os; os.environ.update({environment}); {script}", "cache", "--help")
    assert (done.returncode, done.stderr) == (0, "\n")


def test_nothing_is_imported_before_ctrl_c_is_quiet():
    script = "import sys; before = set(sys.modules); import lepton_cli.__main__; "
    done = python(script + "print(*sorted(set(sys.modules) - before))")
    assert done.stdout.split() == ["gc", "lepton_cli", "lepton_cli.__main__"], done.stderr


# --- Ctrl-C

STRIKE = """
import builtins, os, signal, sys
plain, waiting = builtins.__import__, [sys.argv[1]]
def importing(name, *rest, **more):
    if name in waiting:
        waiting.clear()
        os.kill(os.getpid(), signal.SIGINT)
    return plain(name, *rest, **more)
signal.signal(signal.SIGINT, getattr(signal, sys.argv[2]))
builtins.__import__ = importing
sys.argv[1:] = sys.argv[3:]
import lepton_cli.__main__
lepton_cli.__main__.main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("module", ["typer", "numpy", "llvmlite.binding", "jinja2"])
def test_ctrl_c_during_imports_is_quiet(module):
    done = python(STRIKE, module, "default_int_handler", *HELLO)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_ignored_ctrl_c_stays_ignored():
    done = python(STRIKE, "typer", "SIG_IGN", *HELLO)
    assert (done.returncode, done.stdout) == (0, "Hello\n"), done.stderr


# --- loading that fails


class BrokenBackendError(LeptonError):
    """The backend could not be opened."""


@pytest.fixture
def file(tmp_path) -> Path:
    return write_model(tmp_path / "tiny.gguf")


def test_a_broken_vocabulary_is_reported_when_it_is_used(file, monkeypatch):
    def build(metadata):
        raise ModelFileError("the merges are damaged")

    monkeypatch.setattr(engine, "build_tokenizer", build)
    with lepton_cli.load(file, backend="reference") as model:
        assert model.logits([1, 2]).dtype == np.float32
        for _ in range(2):
            with pytest.raises(ModelFileError, match="the merges are damaged"):
                model.tokenizer  # noqa: B018


@pytest.mark.parametrize(
    "failure", [BrokenBackendError("no"), KeyboardInterrupt()], ids=["error", "Ctrl-C"]
)
def test_no_thread_outlives_a_load_that_failed(file, monkeypatch, failure):
    def fail(*_: object) -> None:
        raise failure

    before = threading.active_count()
    monkeypatch.setattr(CpuBackend, "open", fail)
    with pytest.raises(type(failure)):
        lepton_cli.load(file)
    assert threading.active_count() == before


# --- what is told of compiling

STEPS = (Compiling(0, 2), Compiling(1, 2, "rope"), Compiling(2, 2, "add"))


def told(capsys, steps=STEPS, *, verbose: bool = False) -> str:
    notes = CompileNotes(verbose=verbose)
    for step in steps:
        notes(step)
    out, err = capsys.readouterr()
    assert not out
    return err


def test_compiling_is_noted_once_where_nothing_can_be_redrawn(capsys):
    assert re.fullmatch(r"lepton: note: compiling 2 kernels .*\n", told(capsys, verbose=False))


LOST = LeptonError("kernels cannot be stored in /c: Read-only file system", "set XDG_CACHE_HOME")


@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize("known", ["before", "when the first one was written"])
def test_kernels_that_cannot_be_kept_are_reported_once(capsys, monkeypatch, counts, known):
    monkeypatch.setattr("lepton_cli.ui.terminal.status_line.redraws", lambda stream: counts)
    first, *rest = STEPS
    before = known == "before"
    steps = [replace(first, lost=LOST if before else None), *(replace(s, lost=LOST) for s in rest)]
    err = told(capsys, steps)
    assert err.count("lepton: note: kernels cannot be stored in /c: Read-only file system;") == 1
    assert err.count("set XDG_CACHE_HOME") == 1
    assert ("only this once" in err, "each time" in err) == (not before, before or counts)


def test_a_kernel_that_is_not_used_is_reported_once(capsys):
    ignored = ForeignFileError("/c/scale.kernel belongs to user ann", "remove it")
    first = replace(STEPS[0], ignored=ignored)
    err = told(capsys, [first, *STEPS[1:], first])
    assert err.count("is not used: /c/scale.kernel belongs to user ann; remove it\n") == 1
    assert "only this once" in err
    lost = replace(first, lost=LOST)
    assert "is not used" not in told(capsys, [lost, lost])


def test_a_guess_of_how_long_compiling_takes_grows_with_the_kernels(monkeypatch):
    monkeypatch.setattr(warmup, "default_threads", lambda: ThreadChoice(2, "here"))
    assert [warmup.seconds(count) for count in (1, 12, 60)] == [4, 15, 63]


def test_verbose_names_each_kernel(capsys):
    first, *each = told(capsys, verbose=True).splitlines()
    assert "compiling 2 kernels" in first
    assert each == [
        "lepton: note: compiled rope (1 of 2)",
        "lepton: note: compiled add (2 of 2)",
    ]


def test_a_terminal_counts_in_one_line_that_goes(capsys, monkeypatch):
    monkeypatch.setattr("lepton_cli.ui.terminal.status_line.redraws", lambda stream: True)
    monkeypatch.setattr("lepton_cli.ui.terminal.status_line.width_of", lambda stream: 40)
    before, *lines = told(capsys, verbose=False).split("\r\x1b[K")
    assert before == "" and lines[-1] == ""
    assert all(f"{n} of 2" in line and len(line) < 40 for n, line in enumerate(lines[:-1]))
    assert len(lines) == 3


# --- lepton warmup


@pytest.fixture
def few_kernels(monkeypatch) -> list[str]:
    names = ["scale", "select_outputs"]
    monkeypatch.setattr("ops.cpu.compiling.all_kernels", lambda: names)
    monkeypatch.setattr("ops.cpu.measures.shapes.choose_shapes", lambda store: {})
    monkeypatch.setattr(backend, "find_card", lambda: Missing("none", "here"))
    return names


@pytest.fixture
def a_card(monkeypatch) -> None:
    """Whose kernels are three, and compiled at once."""
    card = Card(0, "A card", (8, 9), 13000, 8 << 30)
    monkeypatch.setattr(backend, "find_card", lambda: card)
    monkeypatch.setattr("ops.cuda.kernels.KERNELS", ("add", "rope", "scale"))

    def compiled(names, worker, processes):
        assert worker.arguments == ("sm_89",)
        return [(name, pack(b"code", f"{name} l")) for name in names]

    monkeypatch.setattr("ops.cuda.compile.codes.compile_kernels", compiled)


@pytest.fixture
def cache(monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_warmup_compiles_what_is_missing_and_then_nothing(few_kernels, cache, capsys):
    assert run(["warmup"]) == 0
    first = capsys.readouterr().out
    assert re.fullmatch(r"compiled 2 kernels for \w+ into .*\n", first)
    assert sorted(path.stem for path in cache.rglob("*.kernel")) == few_kernels
    assert run(["warmup"]) == 0
    assert re.fullmatch(r"nothing to do: .*\n", capsys.readouterr().out)


def test_warmup_tells_which_weights_are_unpacked_once_from_now_on(
    few_kernels, cache, capsys, monkeypatch
):
    chosen = {"Q4_0": 1.234}
    monkeypatch.setattr("ops.cpu.measures.shapes.choose_shapes", lambda store: chosen)
    assert run(["warmup"]) == 0
    told = "unpacking Q4_0 once for many tokens is 1.23 times as fast here: later runs do so\n"
    assert capsys.readouterr().out.endswith(told)


def test_warmup_compiles_for_a_card_too(few_kernels, cache, a_card, capsys):
    assert run(["warmup"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"compiled 2 kernels for \w+ into .*", first)
    assert re.fullmatch(r"compiled 3 kernels for sm_89 into .*sm_89-\w+", second)
    assert run(["warmup"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert second == "nothing to do: the kernels for sm_89 are compiled already"


class OnTheCpu:
    """A model that found no room on the card."""

    gpu, no_gpu = None, "no layer fits on the GPU"

    def close(self) -> None: ...


def test_warmup_tells_of_a_model_that_the_card_has_no_room_for(
    few_kernels, cache, a_card, capsys, monkeypatch
):
    monkeypatch.setattr(warmup, "open_model", lambda *words, **more: OnTheCpu())
    assert run(["warmup", "big"]) == 0
    told = capsys.readouterr()
    assert told.err == (
        "lepton: note: nothing was compiled for sm_89 of big: no layer fits on the GPU\n"
    )
    assert "sm_89" not in told.out


def test_warmup_tells_of_a_model_that_only_the_card_has_room_for(
    few_kernels, cache, a_card, capsys, monkeypatch
):
    def opened(name, options, on_compile):
        if options.backend == "cpu":
            raise OutOfMemoryError("9 GB are needed, 8 GB are free")
        model = OnTheCpu()
        model.gpu = "A card"
        return model

    monkeypatch.setattr(warmup, "open_model", opened)
    assert run(["warmup", "big"]) == 0
    assert "big is for the card only: 9 GB are needed, 8 GB are free" in capsys.readouterr().err
    monkeypatch.setattr(backend, "find_card", lambda: Missing("none", "here"))
    assert run(["warmup", "big"]) == 5
    assert "9 GB are needed" in capsys.readouterr().err


def test_after_a_models_warmup_its_run_compiles_nothing(few_kernels, capsys):
    assert run(["warmup", "builtin"]) == 0
    assert run([*HELLO, "-v", "--no-stdin"]) == 0
    assert "compil" not in capsys.readouterr().err.partition("instructions")[0].partition("free")[2]


def test_warmup_fails_where_kernels_cannot_be_kept(few_kernels, cache, capsys):
    cache.write_text("a file in the way")
    assert run(["warmup"]) == 1
    assert f"kernels cannot be stored in {cache}" in capsys.readouterr().err


@pytest.mark.parametrize("many", [False, True])
def test_doctor_says_that_kernels_cannot_be_kept(few_kernels, cache, capsys, monkeypatch, many):
    if many:
        run(["warmup"])
        capsys.readouterr()
        monkeypatch.setattr(KernelFolder, "probe", lambda shelf: LOST)
    else:
        cache.write_text("a file in the way")
    assert run(["doctor"]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("kernels ")]
    assert "kernels cannot be stored in" in line and "set XDG_CACHE_HOME" in line
    assert ("2 compiled" in line) == many


def test_warmup_of_what_is_not_a_model_is_refused(capsys):
    assert run(["warmup", "no-such-model"]) != 0
    assert "no-such-model" in capsys.readouterr().err


# --- lepton doctor


def test_doctor_says_which_instructions_and_why(capsys, monkeypatch):
    run(["doctor"])
    assert re.search(
        r"^instructions +\w+ \(the best of this CPU's: \w+", capsys.readouterr().out, re.M
    )
    monkeypatch.setenv("LEPTON_CPU", "generic")
    run(["doctor"])
    assert re.search(r"^instructions +generic \(LEPTON_CPU asks", capsys.readouterr().out, re.M)
    monkeypatch.setenv("LEPTON_CPU", "mmx")
    assert run(["doctor"]) == 0
    assert "LEPTON_CPU is 'mmx'" in capsys.readouterr().out


def test_doctor_tells_where_the_kernels_are(few_kernels, cache, capsys):
    run(["doctor"])
    assert re.search(r"^kernels +none is compiled yet", capsys.readouterr().out, re.M)
    run(["warmup"])
    run(["doctor"])
    assert re.search(
        rf"^kernels +2 compiled \([1-9]\d* kB in {cache}", capsys.readouterr().out, re.M
    )
