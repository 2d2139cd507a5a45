"""Where memory runs out: exit 5 with numbers, whatever could not be had."""

import errno
import mmap
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from make_gguf import write_model

from lepton_cli import program
from lepton_cli.engine.decoding.generation import Generation, fit
from lepton_cli.engine.loading import addresses
from lepton_cli.engine.loading.memory import RESERVE, STRING_BYTES, process_needs
from lepton_cli.engine.loading.plan import LoadOptions, build
from lepton_cli.engine.model import load, open_model
from lepton_cli.ui.open_model import add_draft
from ops.compiled import compiling
from ops.cpu.instruction_sets.generic import GENERIC as RUNG
from ops.cpu.layout import TOTAL_BYTES, UNPACKED_BYTES
from ops.cpu.runner import cpu_needs
from ops.machine import MemoryLimit
from ops.memory_plan import Limits
from quant.errors import ContextOverflowError, OutOfMemoryError, UsageError
from quant.gguf import GGUF, Metadata


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


def test_a_file_that_cannot_be_mapped_is_reported_with_its_size(tmp_path, monkeypatch):
    path = write_model(tmp_path / "tiny.gguf")

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(mmap, "mmap", fail)
    with pytest.raises(OutOfMemoryError, match=r"no memory to map its \d+\.\d MB"):
        GGUF.open(path)


def test_too_few_addresses_are_reported_before_any_library_fails(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setattr(addresses, "address_limit", lambda: 300_000_000)
    with pytest.raises(OutOfMemoryError, match=r"ulimit -v allows 300 MB .* takes 450 MB"):
        addresses.check_addresses()
    monkeypatch.setattr(addresses, "address_limit", lambda: None)
    addresses.check_addresses()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="macOS keeps no ulimit -v")
def test_under_a_limit_numpy_starts_no_threads_that_take_addresses():
    counted = (
        "import os, sys; from lepton_cli.__main__ import run; "
        "code = run(['inspect', 'builtin']); "
        "print(code, 'numpy' in sys.modules, len(os.listdir('/proc/self/task')))"
    )
    command = f'ulimit -v 900000; {sys.executable} -c "{counted}"'
    bare = {key: value for key, value in os.environ.items() if not key.startswith("OPENBLAS")}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=bare)
    assert done.stdout.splitlines()[-1] == "0 True 1"


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


def let_be_free(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(
        "lepton_cli.engine.loading.prepare.available_memory", lambda: MemoryLimit(count, "a test")
    )


def test_the_context_that_is_advised_fits_also_with_a_little_less_memory(tmp_path, monkeypatch):
    path = write_model(tmp_path / "tiny.gguf")
    own = process_needs(GGUF.open(path).metadata)
    free = own + 20_000_000

    def opened(ctx: int, least: int) -> None:
        let_be_free(monkeypatch, least)
        load(path, backend="reference", ctx=ctx).close()

    with pytest.raises(OutOfMemoryError, match=r"are free \(a test\)") as caught:
        opened(10_000_000, free)
    [advised] = re.findall(r"use -c (\d+) or less", str(caught.value.hint))
    opened(int(advised), own + 19_000_000)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_model_opens_with_what_its_plan_needs_and_not_with_a_byte_less(
    tmp_path, monkeypatch, backend
):
    path = write_model(tmp_path / "tiny.gguf")
    with load(path, backend=backend, ctx=512) as model:
        plan = model.plan
    assert plan.total == plan.weights + plan.cache + plan.buffers + plan.process
    let_be_free(monkeypatch, plan.total)
    load(path, backend=backend, ctx=512).close()
    let_be_free(monkeypatch, plan.total - 1)
    parts = r"needs .* MB \(weights .*, cache .* for 512 tokens, buffers .*, tokenizer and reserve"
    with pytest.raises(OutOfMemoryError, match=parts):
        load(path, backend=backend, ctx=512)


def test_the_plan_counts_the_texts_of_a_vocabulary(tmp_path):
    path = write_model(tmp_path / "tiny.gguf")
    metadata = GGUF.open(path).metadata
    texts = len(metadata["tokenizer.ggml.tokens"])
    more = Metadata(path, {**metadata, "again": metadata["tokenizer.ggml.tokens"]})
    assert process_needs(more) - process_needs(metadata) == STRING_BYTES * texts
    assert process_needs(metadata) > RESERVE


def test_the_buffers_of_the_cpu_count_the_scratch_of_each_thread(tmp_path):
    program = build(GGUF.open(write_model(tmp_path / "tiny.gguf", weights="Q4_K")), 512)
    limits = Limits(256, 32)
    one, nine = (
        cpu_needs(program, limits, ("f16", "f16"), count, RUNG).buffers for count in (1, 9)
    )
    least = UNPACKED_BYTES + TOTAL_BYTES * limits.tokens  # of a product with weights in parts
    assert nine - one >= 8 * least
    assert (nine - one) % 8 == 0


def test_of_a_table_that_is_read_in_place_a_step_s_rows_count(tmp_path):
    def weights(name: str, rows: int) -> int:
        table = {"per_layer_token_embd.weight": np.zeros((rows, 32), np.float32)}
        path = write_model(tmp_path / name, "gemma4", tensors=table)
        needs = cpu_needs(build(GGUF.open(path), 512), Limits(256, 32), ("f16", "f16"), 1, RUNG)
        return needs.weights(len(needs.layers))

    assert weights("small.gguf", 400) == weights("large.gguf", 4000)


def test_a_draft_model_is_planned_with_what_its_model_leaves(tmp_path, monkeypatch):
    path = write_model(tmp_path / "tiny.gguf")
    options = LoadOptions("reference", ctx=512)
    with open_model(path, options) as alone:
        total = alone.plan.total
    let_be_free(monkeypatch, 2 * total)  # as long as nothing is taken, all of it stays free
    with open_model(path, options) as model:
        open_model(path, options, beside=model).close()
    let_be_free(monkeypatch, 2 * total - 1)
    with open_model(path, options) as model:
        with pytest.raises(OutOfMemoryError, match=r"a test, beside the model") as caught:
            open_model(path, options, beside=model)
        assert str(caught.value.hint).startswith("leave out -md")


def test_a_draft_model_has_no_more_context_than_its_model(tmp_path):
    path = write_model(tmp_path / "tiny.gguf")
    with (
        open_model(path, LoadOptions("reference", ctx=64)) as model,
        open_model(path, LoadOptions("reference"), beside=model) as draft,
    ):
        assert (draft.context_size, draft.trained_context > 64) == (64, True)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_the_cache_is_planned_as_the_backend_keeps_it(tmp_path, backend):
    with load(write_model(tmp_path / "tiny.gguf"), backend=backend, ctx=512) as model:
        layout = model.window.layout
        assert model.plan.cache == 2 * (layout.block_bytes - layout.scratch)


@pytest.mark.parametrize(("spare", "more"), [(0, 0), (3, 3), (1 << 20, None)])
def test_a_batch_takes_no_more_cache_than_the_plan_leaves(tmp_path, monkeypatch, spare, more):
    path = write_model(tmp_path / "tiny.gguf")
    with load(path, backend="reference", ctx=512) as model:
        block, total = model.window.layout.block_bytes, model.plan.total
    let_be_free(monkeypatch, total + spare * block)
    with load(path, backend="reference", ctx=512) as model:
        monkeypatch.setattr(model._runner, "room", lambda: 1000)
        assert model._batch_limit() == block * (500 if more is None else 2 + more)


@pytest.mark.parametrize(("free", "processes"), [(129, 0), (131, 1), (300, 2)])
def test_as_many_kernels_are_compiled_at_once_as_memory_allows(monkeypatch, free, processes):
    monkeypatch.setattr(compiling, "shared_memory", lambda: MemoryLimit(free * 1_000_000, "a test"))
    if processes:
        assert compiling._processes_that_fit() == processes
        return
    with pytest.raises(OutOfMemoryError, match=r"takes 130 MB; 129\.0 MB are free") as caught:
        next(compiling.compile_kernels(["add"], compiling.Worker("none"), 4))
    assert "lepton warmup" in str(caught.value.hint)


def test_a_model_whose_draft_does_not_fit_is_closed(tmp_path, monkeypatch):
    path = write_model(tmp_path / "tiny.gguf")
    options = LoadOptions("cpu", ctx=512)
    with open_model(path, options) as alone:
        total = alone.plan.total
    let_be_free(monkeypatch, 2 * total - 1)
    model = open_model(path, options)
    with pytest.raises(OutOfMemoryError):
        add_draft(model, str(path), options)
    with pytest.raises(UsageError, match="the model is closed"):
        model.logits([1])


@pytest.mark.parametrize(("spare", "kept"), [(0, 0), (7, 7), (900, 32)])
def test_checkpoints_of_recurrent_layers_are_planned_as_far_as_memory_allows(
    tmp_path, monkeypatch, spare, kept
):
    path, told = write_model(tmp_path / "m.gguf", "qwen35"), list[str]()
    options = LoadOptions("cpu", 1, ctx=64)
    with open_model(path, replace(options, checkpoints=0)) as model:
        state, total = model.window.layout.slot_bytes, model.plan.total
        assert model.plan.state == 2 * state > 0
    let_be_free(monkeypatch, total + spare * state)
    with open_model(path, options, told.append) as model:
        assert model.plan.checkpoints == model.window._passes.pool.checkpoints == kept
        assert model.plan.state == (2 + kept) * state
    assert f"for {kept} checkpoints" in told[0]


def test_a_context_that_nobody_asked_for_leaves_room_for_checkpoints(tmp_path, monkeypatch):
    path = write_model(tmp_path / "m.gguf", "qwen35", dimensions={"T": 1 << 20})
    with open_model(path, LoadOptions("cpu", 1, ctx=256, checkpoints=0)) as model:
        layout, total = model.window.layout, model.plan.total
    let_be_free(monkeypatch, total + 40 * (layout.block_bytes + layout.slot_bytes))
    with open_model(path, LoadOptions("cpu", 1)) as model:
        assert model.plan.checkpoints >= 5
        assert model.context_size > 10 * 256


def test_more_checkpoints_than_can_be_meant_are_refused():
    with pytest.raises(UsageError, match="checkpoints is -1"):
        LoadOptions(checkpoints=-1)
