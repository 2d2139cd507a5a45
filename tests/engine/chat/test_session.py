"""One conversation: what is kept, what is taken back, what an error leaves."""

from collections.abc import Callable, Generator
from itertools import pairwise
from pathlib import Path

import pytest
from fake_model import FakeModel
from fake_session import Template, chat, said

import lepton_cli
from lepton_cli.engine.chat.conversation import Conversation, Turn
from lepton_cli.engine.chat.session import Session
from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.events import Done, Event, Reasoning, Text
from lepton_cli.engine.sampling.sampler import Sampling
from lepton_cli.engine.text.messages import Message
from quant.errors import ContextOverflowError, LeptonError, UsageError


def contents(session: Session) -> list[str]:
    return [message.content for message in session.messages]


# --- asking -------------------------------------------------------------------------------------


def test_answer_is_kept_with_its_reason_and_tokens() -> None:
    session, _ = chat(["Hel", "lo"])
    assert said(session.send("hi")) == "Hello"
    question, answer = session.conversation.turns
    assert question == Turn(Message("user", "hi"))
    assert answer == Turn(Message("assistant", "Hello"), "stop", tuple(b"Hello"))


def test_thoughts_are_kept_apart_from_the_answer() -> None:
    session, _ = chat([Reasoning("hm"), Reasoning("m"), "4"])
    assert said(session.send("2+2")) == "4"
    assert session.messages[-1] == Message("assistant", "4", "hmm")


def test_each_prompt_holds_all_that_was_said() -> None:
    session, model = chat(["one"], ["two"])
    session.set_system("be brief")
    said(session.send("a"))
    said(session.send("b"))
    for words in ("system\nbe brief", "user\na", "assistant\none", "user\nb"):
        assert words in model.prompts[1]
    assert model.prompts[1].endswith("<|im_start|>assistant\n")


def test_retry_answers_the_same_question_again() -> None:
    session, model = chat(["one"], ["two"])
    said(session.send("a"))
    said(session.retry())
    assert contents(session) == ["a", "two"]
    assert model.prompts[0] == model.prompts[1]


def test_edit_asks_in_other_words() -> None:
    session, _ = chat(["one"], ["two"], ["three"])
    said(session.send("a"))
    said(session.send("b"))
    said(session.edit("B"))
    assert contents(session) == ["a", "one", "B", "three"]


def test_edit_of_an_early_question_drops_what_followed() -> None:
    session, model = chat(["one"], ["two"], ["three"])
    said(session.send("a"))
    said(session.send("b"))
    assert session.question(1) == "a"
    said(session.edit("A", 1))
    assert contents(session) == ["A", "three"]
    assert "one" not in model.prompts[2]


def test_undo_takes_back_question_and_answer() -> None:
    session, _ = chat()
    said(session.send("a"))
    said(session.send("b"))
    assert session.undo() == (Message("user", "b"),)
    assert contents(session) == ["a", "Hello!"]
    assert session.undo() == (Message("user", "a"),)
    with pytest.raises(UsageError, match="nothing to undo"):
        session.undo()


def test_undo_takes_back_several_questions_or_none() -> None:
    session, _ = chat()
    for text in ("a", "b", "c", "d"):
        said(session.send(text))
    for count in (5, 0):
        with pytest.raises(UsageError, match="4 questions were asked"):
            session.undo(count)
    assert len(contents(session)) == 8
    assert session.undo(3) == tuple(Message("user", text) for text in "bcd")
    assert contents(session) == ["a", "Hello!"]
    session.back()
    assert len(contents(session)) == 8


def test_nothing_that_was_replaced_is_lost() -> None:
    session, _ = chat()
    said(session.send("a"))
    said(session.send("b"))
    states = [session.conversation]
    session.undo()
    states.append(session.conversation)
    said(session.edit("c", 1))
    states.append(session.conversation)
    session.clear()
    for state in reversed(states):
        assert session.back()
        assert session.conversation == state
    assert not session.back()


def test_clear_keeps_the_system_prompt() -> None:
    session, _ = chat()
    session.set_system("be brief")
    said(session.send("a"))
    session.clear()
    assert session.messages == (Message("system", "be brief"),)


@pytest.mark.parametrize("action", ["retry", "continue_last", "edit", "edit_answer", "question"])
def test_nothing_to_act_on_is_a_clear_error(action: str) -> None:
    session, _ = chat()
    arguments = ["x"] if action.startswith("edit") else []
    with pytest.raises(UsageError) as caught:
        result = getattr(session, action)(*arguments)
        if isinstance(result, Generator):
            list(result)
    assert caught.value.hint


def test_edit_of_a_question_that_was_not_asked_names_how_many_there_are() -> None:
    session, _ = chat()
    said(session.send("a"))
    with pytest.raises(UsageError, match="no question 2"):
        session.question(2)


# --- interrupting and going on ------------------------------------------------------------------


def cut_after(session: Session, events: Generator[Event], pieces: int) -> list[Event]:
    """Takes the events as a screen does whose Ctrl-C comes after some pieces."""
    seen: list[Event] = []
    for event in events:
        seen.append(event)
        if sum(isinstance(e, Text | Reasoning) for e in seen) == pieces:
            session.interrupt.set()
    return seen


def test_interrupted_answer_is_kept_and_marked() -> None:
    session, _ = chat(["a", "b", "c", "d"])
    events = cut_after(session, session.send("go"), 2)
    assert isinstance(events[-1], Done)
    assert session.conversation.turns[-1] == Turn(
        Message("assistant", "ab"), "interrupted", (97, 98)
    )
    assert not session.interrupt.is_set()


def test_answer_left_early_is_kept_and_marked() -> None:
    session, _ = chat(["a", "b", "c"])
    events = session.send("go")
    while not isinstance(next(events), Text):
        pass
    events.close()
    assert session.conversation.turns[-1] == Turn(Message("assistant", "a"), "interrupted")


def test_interrupt_before_the_first_piece_leaves_the_session_as_it_was() -> None:
    session, _ = chat(["a"])
    session.interrupt.set()
    before = session.conversation
    events = list(session.send("go"))
    assert isinstance(events[-1], Done) and events[-1].reason == "interrupted"
    assert session.conversation is before


def test_continue_continues_exactly_there_by_tokens() -> None:
    session, model = chat(["one ", "two "], ["three"])
    model.reason = "length"
    said(session.send("count"))
    model.reason = "stop"
    said(session.continue_last())
    assert model.prompts[1] == model.prompts[0] + "one two "
    assert contents(session) == ["count", "one two three"]
    assert session.conversation.turns[-1].token_ids == tuple(b"one two three")
    assert session.conversation.turns[-1].reason == "stop"


def test_continue_without_tokens_continues_by_words_and_thoughts() -> None:
    session, model = chat(["three"])
    partial = Turn(Message("assistant", "one two ", "count up"), "interrupted")
    session.conversation = Conversation(None, (Turn(Message("user", "count")), partial))
    said(session.continue_last())
    assert model.prompts[0].endswith("assistant\n<think>count up</think>one two ")
    assert session.messages[-1] == Message("assistant", "one two three", "count up")
    assert session.conversation.turns[-1].token_ids == ()


def test_continue_inside_a_character_draws_it_again() -> None:
    session, model = chat(["é"])
    half = Turn(Message("assistant", "caf\ufffd"), "interrupted", (*b"caf", 0xC3))
    session.conversation = Conversation(None, (Turn(Message("user", "drink")), half))
    said(session.continue_last())
    assert contents(session) == ["drink", "café"]
    assert model.prompts[0].endswith("assistant\ncaf")


def test_continue_that_fails_keeps_the_partial_answer() -> None:
    session, model = chat(["one "], ["two"])
    model.reason = "length"
    said(session.send("count"))
    before = session.conversation
    model.template.refuses = True  # type: ignore[attr-defined]
    with pytest.raises(UsageError):
        list(session.continue_last())
    assert session.conversation is before


def test_edited_answer_is_continued() -> None:
    session, model = chat(["no"], ["because"])
    said(session.send("may I?"))
    session.edit_answer("yes, ")
    said(session.continue_last())
    assert contents(session) == ["may I?", "yes, because"]
    assert model.prompts[1].endswith("assistant\nyes, ")


def greedy(shared_data: Callable[[str], Path], max_tokens: int | None) -> Session:
    path = shared_data("models") / "tinytalk-3m-gpt2-F16.gguf"
    model = lepton_cli.load(path, backend="reference")
    return Session(model, Generation(Sampling(temperature=0), max_tokens))


def test_continued_answer_equals_the_uncut_one(shared_data: Callable[[str], Path]) -> None:
    whole = greedy(shared_data, 12)
    said(whole.send("hey, how are you?"))
    cut = greedy(shared_data, 4)
    said(cut.send("hey, how are you?"))
    for _ in range(2):
        *_, done = cut.continue_last()
        assert isinstance(done, Done)
        assert done.stats.prompt_tokens - done.stats.cached_tokens <= 2
    assert cut.messages == whole.messages


def test_edit_prefills_only_what_follows_the_change(shared_data: Callable[[str], Path]) -> None:
    session = greedy(shared_data, 8)
    said(session.send("do you like the sea?"))
    said(session.send("and what about the mountains?"))
    *_, done = session.edit("and what about the hills?")
    assert isinstance(done, Done)
    assert done.stats.cached_tokens >= done.stats.prompt_tokens - 6


# --- failures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["send", "edit", "retry"])
def test_template_that_raises_leaves_the_session_as_it_was(action: str) -> None:
    session, model = chat()
    said(session.send("a"))
    before = session.conversation
    model.template.refuses = True  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="does not like"):
        list(getattr(session, action)(*([] if action == "retry" else ["b"])))
    assert session.conversation is before


def test_overflow_error_leaves_the_session_as_it_was() -> None:
    session, _ = chat(context_size=60)
    said(session.send("a"))
    before = session.conversation
    with pytest.raises(ContextOverflowError):
        list(session.send("x" * 60))
    assert session.conversation is before


def test_failure_inside_an_answer_keeps_what_was_said() -> None:
    session, model = chat(["so", " far"])
    model.failure = LeptonError("broken")
    with pytest.raises(LeptonError):
        list(session.send("go"))
    assert session.conversation.turns[-1] == Turn(Message("assistant", "so far"), "interrupted")


# --- the window ---------------------------------------------------------------------------------


def long_chat(size: int) -> tuple[Session, FakeModel]:
    session, model = chat(["y" * 50], context_size=size)
    session.generation = Generation(overflow="drop-old", max_tokens=60)
    session.set_system("SYSTEM")
    return session, model


def test_drop_old_leaves_out_whole_oldest_turns_and_says_so() -> None:
    session, model = long_chat(600)
    dropped = []
    for i in range(12):
        *_, done = session.send(f"question {i} " + "x" * 30)
        assert isinstance(done, Done)
        dropped.append(done.stats.dropped_tokens)
        assert len(model.tokenizer.encode(model.prompts[-1], parse_special=True)) < 600
    assert len(session.messages) == 1 + 2 * 12  # nothing is forgotten
    assert dropped[0] == 0 and dropped[-1] > 0
    assert "system\nSYSTEM" in model.prompts[-1]
    assert "question 11 " in model.prompts[-1] and "question 0 " not in model.prompts[-1]
    assert model.prompts[-1].count("<|im_start|>user") == model.prompts[-1].count("<|im_end|>") // 2
    assert session.context_use().left_out % 2 == 0


@pytest.mark.parametrize("resumed", range(2, 14, 3))
def test_what_drop_old_leaves_out_follows_from_the_turns_alone(resumed) -> None:
    """A chat that is taken up again after some questions asks the model the same prompts."""
    (session, model), (other, again) = long_chat(600), long_chat(600)
    for i in range(14):
        if i == resumed:
            other._change(session.conversation)  # as /load and --resume do
        list(session.send(f"question {i} " + "x" * 30))
        if i >= resumed:
            list(other.send(f"question {i} " + "x" * 30))
    assert again.prompts == model.prompts[resumed:]
    assert session.context_use().left_out == other.context_use().left_out > 0


def test_drop_old_keeps_the_prompts_beginning_for_several_turns() -> None:
    session, model = long_chat(800)
    for i in range(20):
        list(session.send(f"question {i}"))
    beginnings = [prompt[:200] for prompt in model.prompts]
    changes = sum(a != b for a, b in pairwise(beginnings))
    assert 0 < changes <= 20 / 3


@pytest.mark.parametrize("go_on", [Session.continue_last, Session.retry])
def test_a_refused_message_drops_no_turns_of_the_chat(go_on) -> None:
    session, model = long_chat(400)
    list(session.send("a"))
    with pytest.raises(ContextOverflowError):
        list(session.send("x" * 500))
    said(go_on(session))
    assert session.context_use().left_out == 0
    assert "user\na" in model.prompts[-1]


def test_an_early_question_can_be_edited_when_it_was_left_out() -> None:
    session, model = long_chat(600)
    for i in range(12):
        list(session.send(f"question {i} " + "x" * 30))
    assert session.context_use().left_out
    list(session.edit("another", 1))
    assert session.context_use().left_out == 0
    assert "user\nanother" in model.prompts[-1]


def test_drop_old_refuses_a_message_that_is_too_long_alone() -> None:
    session, _ = long_chat(200)
    list(session.send("a"))
    before = session.conversation
    with pytest.raises(ContextOverflowError, match="200"):
        list(session.send("x" * 300))
    assert session.conversation is before


def test_other_policies_leave_the_prompt_to_the_model() -> None:
    session, _ = long_chat(300)
    session.generation = Generation()
    with pytest.raises(ContextOverflowError, match="300"):
        list(session.send("x" * 300))


def test_context_use_counts_each_message_and_the_template() -> None:
    session, model = chat(["four"])
    session.set_system("sys")
    list(session.send("hello"))
    use = session.context_use()
    assert use.messages == (3, 5, 4)
    assert use.size == model.context_size
    assert use.used == len(model.tokenizer.encode(model.prompts[0], False, True)) + 1 + 4 - 1
    session.undo()
    assert session.used == 3


def test_used_survives_a_template_that_raises() -> None:
    session, model = chat()
    list(session.send("hello"))
    session.set_system("sys")
    model.template.refuses = True  # type: ignore[attr-defined]
    assert session.used == 3 + 5 + 6


def test_switched_model_continues_with_the_words_not_the_tokens() -> None:
    session, _ = chat(["one "])
    list(session.send("count"))
    other = FakeModel(answers=[["two"]], template=Template())
    session.switch(other)
    said(session.continue_last())
    assert contents(session) == ["count", "one two"]
    assert session.conversation.turns[-1].token_ids == ()
