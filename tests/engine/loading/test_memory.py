"""Where memory runs out: exit 5 with numbers, whatever could not be had."""

import errno
import mmap
import re
import subprocess
import sys
from pathlib import Path

import pytest
from make_gguf import write_model

from lepton_cli import program
from lepton_cli.engine.decoding.generation import Generation, fit
from lepton_cli.engine.loading import memory
from lepton_cli.engine.model import load
from ops.machine import MemoryLimit
from quant.errors import ContextOverflowError, OutOfMemoryError
from quant.gguf import GGUF


@pytest.mark.parametrize(
    "failure",
    [
        MemoryError("Unable to allocate 9.00 GiB"),
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError(program.NO_THREAD),
    ],
)
def test_what_cannot_be_had_is_exit_5_with_what_is_there(monkeypatch, capsys, failure):
    def fail(args: list[str]) -> None:
        raise failure

    monkeypatch.setattr(program, "_invoke", fail)
    assert program.run([]) == 5
    said = capsys.readouterr().err
    assert "are free (" in said and "lepton: hint:" in said
    assert str(failure.args[0]) in said if isinstance(failure, MemoryError) and failure.args else 1


def test_another_runtime_error_is_not_told_as_memory(monkeypatch):
    def fail(args: list[str]) -> None:
        raise RuntimeError("dictionary changed size during iteration")

    monkeypatch.setattr(program, "_invoke", fail)
    assert program.run([]) == 1


def test_a_file_that_cannot_be_mapped_is_told_with_its_size(tmp_path, monkeypatch):
    path = write_model(tmp_path / "tiny.gguf")

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(mmap, "mmap", fail)
    with pytest.raises(OutOfMemoryError, match=r"no room to map its \d+\.\d MB"):
        GGUF.open(path)


def test_too_few_addresses_are_told_before_any_library_fails(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setattr(memory, "address_limit", lambda: 300_000_000)
    with pytest.raises(OutOfMemoryError, match=r"ulimit -v allows 300 MB .* takes 450 MB"):
        memory.check_addresses()
    monkeypatch.setattr(memory, "address_limit", lambda: None)
    memory.check_addresses()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="macOS keeps no ulimit -v")
@pytest.mark.parametrize(("args", "code"), [("run builtin hi", 5), ("run --help", 0)])
def test_a_small_ulimit_is_exit_5_and_the_help_needs_little(args, code):
    command = f"ulimit -v 200000; {sys.executable} -m lepton_cli {args} </dev/null"
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60, text=True)
    assert done.returncode == code
    assert done.stderr.startswith("lepton: error: ulimit -v allows 205 MB" if code else "")


@pytest.mark.parametrize(
    ("longest", "hint"),
    [(2048, "use -c 600, a shorter prompt"), (599, "use a shorter prompt"), (0, "use a shorter")],
)
def test_a_longer_context_is_advised_only_where_it_can_be_had(longest, hint):
    with pytest.raises(ContextOverflowError) as caught:
        fit(range(300), 256, "error", longest=longest)
    assert caught.value.hint is not None and caught.value.hint.startswith(hint)


def test_learned_positions_bound_the_context_that_is_advised(tmp_path: Path):
    bounded = write_model(tmp_path / "gpt2.gguf", "gpt2")
    rotated = write_model(tmp_path / "llama.gguf", "llama")
    for path, more in ((bounded, False), (rotated, True)):
        with load(path, backend="reference") as model:
            assert (model.longest_context > model.context_size) == more
            with pytest.raises(ContextOverflowError) as caught:
                next(model.stream([1] * model.context_size, Generation()))
            assert ("-c " in str(caught.value.hint)) == more


def test_the_context_that_is_advised_fits_also_with_a_little_less_memory(tmp_path, monkeypatch):
    path = write_model(tmp_path / "tiny.gguf")
    free = 20_000_000

    def opened(ctx: int, least: int) -> None:
        monkeypatch.setattr(
            "lepton_cli.engine.loading.prepare.available_memory",
            lambda: MemoryLimit(least, "a test"),
        )
        load(path, backend="reference", ctx=ctx).close()

    with pytest.raises(OutOfMemoryError, match=r"20\.0 MB are free \(a test\)") as caught:
        opened(10_000_000, free)
    [advised] = re.findall(r"use -c (\d+) or less", str(caught.value.hint))
    opened(int(advised), free * 95 // 100)
