"""A prompt whose beginning was read by an earlier process: the same answer, without the reading."""

from pathlib import Path

import pytest

from lepton_cli.__main__ import run
from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.events import Done
from lepton_cli.engine.library.catalogue import packaged
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.model import Model, open_model
from lepton_cli.engine.prefixes.recall import WORTH_STORING
from lepton_cli.engine.sampling.sampler import Sampling

PLENTY = 1 << 30
TEXT = "Once upon a time there was a small robot that loved to count the stars. " * 20
GREEDY = Generation(Sampling(temperature=0), 12)


@pytest.fixture(autouse=True)
def prefixes(tmp_path, monkeypatch) -> Path:
    """Empty stores of the test's own; compiled kernels stay where they are."""
    folder = tmp_path / "prefixes"
    monkeypatch.setattr("lepton_cli.engine.model.prefix_folder", lambda: folder)
    monkeypatch.setattr("lepton_cli.ui.commands.cache.prefix_folder", lambda: folder)
    for place in ("engine.loading.kept_weights", "ui.commands.cache"):
        monkeypatch.setattr(f"lepton_cli.{place}.weight_folder", lambda: tmp_path / "weights")
    return folder


def opened(limit: int = PLENTY, **options) -> Model:
    return open_model(packaged("builtin.gguf"), LoadOptions(prefixes=limit, **options))


def answer(model: Model, ids: list[int]) -> Done:
    *_, done = model.stream(ids, GREEDY)
    assert isinstance(done, Done)
    return done


def prompt(model: Model, ending: str = "What happened?") -> list[int]:
    return model.tokenizer.encode(TEXT + ending)


def said(model: Model, done: Done) -> tuple[tuple[int, ...], bytes]:
    """The answer, and the logits behind its last token."""
    return done.token_ids, model.window.logits.tobytes()


def remembered(**options) -> tuple[tuple[int, ...], bytes]:
    """A process that reads a prompt and leaves it behind."""
    with opened(**options) as model:
        done = answer(model, prompt(model))
        model.remember(done.stats.prompt_tokens, WORTH_STORING)
        return said(model, done)


def test_a_warm_start_gives_the_same_bytes_and_reads_nothing():
    cold = remembered()
    with opened() as model:
        done = answer(model, prompt(model))
        assert said(model, done) == cold
        assert done.stats.prompt_tokens - done.stats.cached_tokens == 1


WEEKLY_KV = pytest.param(("q5_1", "q5_1"), marks=pytest.mark.weekly)  # kernels to compile


@pytest.mark.parametrize("kv", [("f32", "f16"), ("q8_0", "q8_0"), WEEKLY_KV])
def test_a_shared_beginning_serves_another_question(kv):
    remembered(kv=kv)
    question = "But where is the moon?"
    with opened(0, kv=kv) as model:
        done = answer(model, prompt(model, question))
        cold = said(model, done)
        assert done.stats.cached_tokens == 0
    with opened(kv=kv, threads=1, ubatch=7) as model:
        warm = answer(model, prompt(model, question))
        shared = len(model.tokenizer.encode(TEXT)) - 1
        assert warm.stats.cached_tokens >= shared > WORTH_STORING
        assert said(model, warm) == cold


@pytest.mark.parametrize(
    "other",
    [
        {"kv": ("q8_0", "q8_0")},
        {"limit": 0},
        {"backend": "reference"},
    ],
    ids=["cache type", "off", "reference"],
)
def test_what_would_not_be_the_same_is_not_taken(other):
    remembered()
    with opened(**other) as model:
        assert answer(model, prompt(model)[:300]).stats.cached_tokens == 0


@pytest.mark.weekly  # it has kernels of its own to compile
def test_blocks_as_long_of_other_cache_types_are_not_taken():
    remembered(kv=("q8_0", "f16"))
    with opened(kv=("f16", "q8_0")) as model:
        assert answer(model, prompt(model)[:300]).stats.cached_tokens == 0


def test_another_rung_of_instructions_has_entries_of_its_own(monkeypatch):
    remembered()
    monkeypatch.setattr("ops.backend.host_features", frozenset)
    with opened() as model:
        assert answer(model, prompt(model)).stats.cached_tokens == 0


def test_a_damaged_entry_costs_time_only(prefixes):
    cold = remembered()
    for path in prefixes.glob("*/*"):
        path.write_bytes(path.read_bytes()[:-100] + bytes(100))
    assert remembered() == cold
    with opened() as model:
        assert answer(model, prompt(model)).stats.cached_tokens > WORTH_STORING


def test_what_the_window_holds_is_not_loaded_again(monkeypatch):
    remembered()
    with opened() as model:
        answer(model, prompt(model))
        monkeypatch.setattr("lepton_cli.engine.prefixes.store.PrefixStore.find", None)
        done = answer(model, [*prompt(model), 5, 6, 7])
        assert done.stats.cached_tokens >= done.stats.prompt_tokens - 4


def test_short_prompts_leave_nothing(prefixes):
    with opened() as model:
        done = answer(model, model.tokenizer.encode("Hello there"))
        model.remember(done.stats.prompt_tokens, WORTH_STORING)
        model.remember()
    assert not prefixes.exists()


def test_a_chats_window_is_kept_with_the_answer():
    with opened() as model:
        ids = [*prompt(model)]
        ids += answer(model, ids).token_ids
        model.remember()
    with opened() as model:
        done = answer(model, ids)
        assert done.stats.cached_tokens == done.stats.prompt_tokens - 1


# --- from the command line


def lepton(capsys, *args: str) -> tuple[str, str]:
    assert run(list(args)) == 0
    return capsys.readouterr()


def test_the_second_run_with_the_same_file_skips_it_without_a_flag(capsys, tmp_path, prefixes):
    (tmp_path / "story.txt").write_text(TEXT)
    args = ["run", "builtin", "-f", str(tmp_path / "story.txt"), "--temp", "0", "-n", "9"]
    args += ["--no-stdin", "-v"]
    cold, first = lepton(capsys, *args, "What happened?")
    warm, second = lepton(capsys, *args, "What happened?")
    assert warm == cold
    assert "prompt: " in first and "prompt: " in second
    assert list(prefixes.glob("*/*.kv"))
    off, _ = lepton(capsys, *args, "--prefix-cache", "0", "What happened?")
    assert off == cold


def test_the_cache_is_shown_and_cleared(capsys, prefixes):
    assert "the cache is empty" in lepton(capsys, "cache")[1]
    assert lepton(capsys, "cache", "clear")[0] == "0 B freed\n"
    remembered()
    out, err = lepton(capsys, "cache", "ls")
    assert out.splitlines()[1].startswith("Lepton built-in") and str(prefixes) in " ".join(
        err.split()
    )
    assert '"tokens": ' in lepton(capsys, "cache", "--json")[0]
    assert "MB freed" in lepton(capsys, "cache", "clear")[0]
    assert not list(prefixes.iterdir())
