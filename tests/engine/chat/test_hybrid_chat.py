"""A chat with a model of recurrent layers: what is taken back is not read again from the start."""

import itertools
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_session import said
from make_gguf import CHATML, write_model

from lepton_cli.engine.chat.session import Session
from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.decoding.scheduler import Request
from lepton_cli.engine.decoding.speculation import DoublingPace, Source, Speculation
from lepton_cli.engine.decoding.window import Passes
from lepton_cli.engine.events import Done, Stats
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.model import Model, open_model
from lepton_cli.engine.prefixes.recall import WORTH_STORING
from lepton_cli.engine.sampling.sampler import Sampling
from ops.interface import Interrupted

FIRST, SECOND = "Tell me of the hills and the old hermit. " * 6, "And what of the well? " * 8
OPENING = 13  # tokens of a template that end the question and open the answer
GREEDY = Generation(Sampling(temperature=0), 20, ignore_eos=True)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return write_model(
        tmp_path_factory.mktemp("hybrid") / "m.gguf",
        "qwen35",
        metadata={"tokenizer.chat_template": CHATML},
        dimensions={"T": 4096},
    )


@pytest.fixture(autouse=True)
def prefixes(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("lepton_cli.engine.model.prefix_folder", lambda: tmp_path / "prefixes")


@pytest.fixture
def model(path) -> Iterator[Model]:
    with opened(path) as model:
        yield model


def opened(path: Path, **options) -> Model:
    return open_model(path, LoadOptions("cpu", 2, prefixes=1 << 30, **options))


def stats(events) -> Stats:
    """Of an answer, with its words."""
    *_, done = events
    assert isinstance(done, Done)
    return done.stats


def run_again(found: Stats) -> int:
    return found.prompt_tokens - found.cached_tokens


def fresh(path: Path, session: Session) -> bytes:
    """The logits behind a conversation's last answer that a first reading gives."""
    with opened(path) as model:
        prompt = session.prompt(answer=False)
        model.window.reuse([])
        for _ in model.window.prefill(prompt):
            pass
        return model.window.logits.tobytes()


def test_undo_goes_back_to_the_end_of_the_turn_before(model):
    session = Session(model, replace(GREEDY, max_tokens=90), "Be brief. " * 20)
    first = stats(session.send(FIRST))
    answered = len(session.prompt(answer=False))
    assert stats(session.send(SECOND)).cached_tokens >= first.prompt_tokens - OPENING
    session.undo()
    again = stats(session.send("Or of the hills? "))
    assert answered > first.prompt_tokens + 64
    assert 0 <= answered - again.cached_tokens < 4  # tokens that end a turn


def test_undo_of_a_short_question_keeps_the_answer_before_it(model):
    """The end of a turn is the checkpoint, not the end of the prompt just behind it."""
    session = Session(model, replace(GREEDY, max_tokens=90))
    said(session.send(FIRST))
    answered = len(session.prompt(answer=False))
    for words in ("And then?", "Or before?"):
        found = stats(session.send(words))
        session.undo()
    assert 0 <= answered - found.cached_tokens < 4


def test_retry_edit_and_branches_reenter_little(path, model):
    session = Session(model, GREEDY, "Be brief. " * 20)
    first = stats(session.send(FIRST))
    told = session.messages[-1].content
    assert run_again(stats(session.retry())) <= OPENING
    assert session.messages[-1].content == told
    second = stats(session.send(SECOND))
    other = stats(session.edit("Another thing. " * 9))
    assert other.cached_tokens >= first.prompt_tokens - OPENING
    assert other.prompt_tokens < second.prompt_tokens
    assert session.back()
    assert stats(session.send("Go on.")).cached_tokens >= first.prompt_tokens - OPENING


def test_what_is_said_after_going_back_is_what_a_first_reading_gives(path, model):
    session = Session(model, GREEDY)
    for words in (FIRST, SECOND):
        said(session.send(words))
    session.undo()
    said(session.send("Or of the hills?"))
    prompt = session.prompt(answer=False)
    model.window.reuse(prompt)
    for _ in model.window.prefill(prompt):
        pass
    assert model.window.logits.tobytes() == fresh(path, session)


def test_a_resumed_chat_reads_nothing_again(path):
    with opened(path) as model:
        session = Session(model, GREEDY, "Be brief. " * 20)
        said(session.send(FIRST))
        turns = session.conversation
        model.remember()
        cold = stats(session.send(SECOND))
        words = session.messages[-1].content
    with opened(path) as model:
        session = Session(model, GREEDY)
        session.conversation = turns
        warm = stats(session.send(SECOND))
        assert session.messages[-1].content == words
        assert warm.cached_tokens == cold.cached_tokens


def test_a_resumed_chat_may_change_its_last_answer(path):
    """A template may leave thoughts out: then the chat goes on from before the answer."""
    with opened(path) as model:
        session = Session(model, GREEDY, "Be brief. " * 20)
        asked = stats(session.send(FIRST)).prompt_tokens
        model.remember()
    with opened(path) as model:
        *_, done = model.stream([*session.prompt_for("x")[: asked + 3], 7, 7, 7], GREEDY)
        assert done.stats.cached_tokens >= asked - OPENING


def questions_about_a_text() -> list[list[int]]:
    """Prompts that differ in their last 9 tokens, with no turn in front of these."""
    draw = np.random.default_rng(2)
    text = draw.integers(3, 200, 700).tolist()
    return [[*text, *draw.integers(3, 200, 9).tolist()] for _ in range(3)]


def test_the_second_question_about_a_text_marks_where_it_begins(model):
    found = [stats(model.stream(prompt, GREEDY)) for prompt in questions_about_a_text()]
    assert [one.cached_tokens for one in found] == [0, 512, 700]  # 512: before the last pass


def test_so_it_does_for_later_processes(path):
    cached = []
    for prompt in questions_about_a_text():
        with opened(path) as model:
            found = stats(model.stream(prompt, GREEDY))
            cached.append(found.cached_tokens)
            model.remember(found.prompt_tokens, WORTH_STORING)
    assert cached == [0, 0, 700]


def test_without_checkpoints_no_pass_is_cut_for_one(path):
    with opened(path, checkpoints=0, ubatch=1024) as model:
        prompt = questions_about_a_text()[0]
        model.window.reuse(prompt)
        assert list(model.window.prefill(prompt, marks=[300])) == [len(prompt)]


def test_the_state_of_another_model_is_not_taken(path, tmp_path):
    with opened(path) as model:
        session = Session(model, GREEDY)
        said(session.send(FIRST))
        model.remember()
    other = write_model(
        tmp_path / "o.gguf",
        "qwen35",
        seed=9,
        metadata={"tokenizer.chat_template": CHATML},
        dimensions={"T": 4096},
    )
    with opened(other) as model:
        assert stats(Session(model, GREEDY).send(FIRST)).cached_tokens == 0


def test_a_damaged_state_costs_time_only(path, tmp_path):
    with opened(path) as model:
        session = Session(model, GREEDY)
        said(session.send(FIRST))
        model.remember()
    for file in (tmp_path / "prefixes").glob("*/*.state"):
        file.write_bytes(file.read_bytes()[:-9] + b"damage!!!")
    with opened(path) as model:
        again = Session(model, GREEDY)
        assert stats(again.send(FIRST)).cached_tokens == 0
        assert again.messages[-1] == session.messages[-1]


def test_logits_that_are_still_there_are_not_computed_again(path, model):
    prompt, one = questions_about_a_text()[0], replace(GREEDY, max_tokens=1)
    other = Request(0, (5, 6, 7), GREEDY)
    found = []
    for between in ([], [other]):
        *_, done = model.stream(prompt, one)
        list(model.batch(between))  # overwrites them
        *_, again = model.stream(prompt, GREEDY)
        assert again.token_ids[0] == done.token_ids[0]
        found.append(again)
    assert found[0].token_ids == found[1].token_ids
    assert [len(prompt) - one.stats.cached_tokens for one in found] == [0, 1]


def interrupt_in_pass(number: int, interrupt: threading.Event, monkeypatch) -> None:
    """As Ctrl-C while the pass runs, which leaves a state that is neither old nor new."""
    run, passes = Passes.run, itertools.count(1)

    def interrupted(self, step, states, heeded=None):
        if next(passes) == number:
            interrupt.set()
        logits = run(self, step, states)
        if heeded is not None and heeded.is_set():
            raise Interrupted
        return logits

    monkeypatch.setattr(Passes, "run", interrupted)


@pytest.mark.parametrize("checkpoints", [0, 32])
def test_ctrl_c_in_an_answer_loses_none_of_it(path, checkpoints, monkeypatch):
    with opened(path, checkpoints=checkpoints) as model:
        session = Session(model, GREEDY)
        interrupt_in_pass(6, session.interrupt, monkeypatch)
        *_, end = session.send("Hello.")  # a pass for the prompt, then for each token
        assert isinstance(end, Done) and end.reason == "interrupted"
        assert end.stats.context_used == end.stats.prompt_tokens + 5
        assert stats(session.continue_last()).cached_tokens == end.stats.context_used
        whole = session.conversation.turns[-1].token_ids
        *_, done = model.stream(session.prompt()[: end.stats.prompt_tokens], GREEDY)
    assert done.token_ids == whole[: len(done.token_ids)]


def test_ctrl_c_in_a_prompt_loses_one_pass_of_it(path, monkeypatch):
    prompt, interrupt = questions_about_a_text()[0], threading.Event()
    interrupt_in_pass(4, interrupt, monkeypatch)
    with opened(path, ubatch=50) as model:
        *_, end = model.stream(prompt, GREEDY, interrupt)
        assert isinstance(end, Done) and end.stats.context_used == 150
        assert stats(model.stream(prompt, GREEDY)).cached_tokens == 150


class Oracle:
    """Guesses what is known to follow, with every fifth token wrong."""

    def __init__(self, known: list[int]) -> None:
        self._known = known

    def guess(self, ids, most: int) -> list[int]:
        right = self._known[len(ids) :][:most]
        return [3 if (len(ids) + n) % 5 == 0 else token for n, token in enumerate(right)]


def test_guesses_change_nothing(path, model, monkeypatch):
    ids = np.random.default_rng(4).integers(3, 200, 90).tolist()
    *_, done = model.stream(ids, GREEDY)
    oracle = Speculation([Source(Oracle([*ids, *done.token_ids]), DoublingPace(6))])
    monkeypatch.setattr(model.guessers, "speculation", lambda most, least: oracle)
    checkpoints = model.window.checkpoints
    *_, again = model.stream(ids, GREEDY)
    assert again.token_ids == done.token_ids
    assert 4 < again.stats.accepted_tokens < again.stats.guessed_tokens
    assert model.window.checkpoints == checkpoints  # guesses push none out
    logits = model.window.logits.tobytes()
    with opened(path) as other:
        for _ in other.window.prefill(model.window.ids):
            pass
        assert other.window.logits.tobytes() == logits
