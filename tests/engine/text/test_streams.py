"""What becomes of drawn tokens: whole characters, stop strings, thoughts told from answers."""

import itertools
import random

import pytest
from fake_model import FakeTokenizer
from hypothesis import given
from hypothesis import strategies as st

from lepton_cli.engine.events import Reasoning, Text
from lepton_cli.engine.text.streaming import (
    FORMATS,
    THINK,
    ReasoningFormat,
    ReasoningSplitter,
    StopMatcher,
    Utf8Stream,
    begins_in_thought,
    opened_format,
    reasoning_format,
    reasoning_token_ids,
)

HARMONY = reasoning_format("<|channel|>final")


def pieces(text, seed):
    """The text in random pieces."""
    rng, at = random.Random(seed), 0
    while at < len(text):
        size = rng.randint(1, 6)
        yield text[at : at + size]
        at += size


def told(text, reasoning=THINK, *, in_thought=False, seed=0):
    """All thoughts and all words of an answer that comes in pieces."""
    splitter = ReasoningSplitter(reasoning, in_thought=in_thought)
    events = [event for piece in pieces(text, seed) for event in splitter.feed(piece)]
    events += splitter.flush()
    assert all(event.text for event in events)
    thoughts = "".join(event.text for event in events if isinstance(event, Reasoning))
    return thoughts, "".join(event.text for event in events if isinstance(event, Text))


# --- characters ------------------------------------------------------------------------------


@given(st.text(), st.integers(0, 99))
def test_characters_come_whole_and_complete(text, seed):
    stream, data = Utf8Stream(), text.encode()
    rng = random.Random(seed)
    cuts = [0, *sorted(rng.choices(range(len(data) + 1), k=5)), len(data)]
    parts = [stream.feed(data[a:b]) for a, b in itertools.pairwise(cuts)]
    assert "".join(parts) + stream.flush() == text
    assert "\ufffd" not in "".join(parts) or "\ufffd" in text


def test_a_partial_character_at_the_end_is_shown_as_broken():
    stream = Utf8Stream()
    assert stream.feed("é".encode()[:1]) == ""
    assert stream.flush() == "\ufffd"


def test_bytes_that_are_not_utf8_do_not_stop_the_stream():
    assert Utf8Stream().feed(b"a\xffb") == "a\ufffdb"


# --- stop strings ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("stops", [("User:", "\n\n"), ("abab",), ("b", "ba"), ()])
def test_text_ends_at_the_first_stop_string(stops, seed):
    text = "an ababab story\nUser: ba\n\nend"
    matcher, shown, hit = StopMatcher(stops), "", None
    for piece in pieces(text, seed):
        more, hit = matcher.feed(piece)
        shown += more
        if hit:
            break
    else:
        shown += matcher.flush()
    found = [text.find(stop) for stop in stops if stop in text]
    assert shown == (text[: min(found)] if found else text)
    assert (hit is not None) == bool(found)


def test_what_may_become_a_stop_string_is_held_back():
    matcher = StopMatcher(["User:"])
    assert matcher.feed("hello Us") == ("hello ", None)
    assert matcher.feed("er") == ("", None)
    assert matcher.feed("s of it") == ("Users of it", None)


def test_the_end_of_text_releases_what_was_held_back():
    matcher = StopMatcher(["User:"])
    matcher.feed("hello Us")
    assert matcher.flush() == "Us"


def test_the_longer_stop_string_wins_at_the_same_place():
    assert StopMatcher(["###", "### End"]).feed("so ### End")[1] == "### End"


def test_an_empty_stop_string_stops_nothing():
    assert StopMatcher([""]).feed("text") == ("text", None)


# --- thoughts --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("reasoning", FORMATS, ids=lambda reasoning: reasoning.mark)
def test_what_a_format_writes_is_split_again(reasoning, seed):
    text = f"{reasoning.opening}let me see\n\nyes{reasoning.closing}The answer."
    assert told(text, reasoning, seed=seed) == ("let me see\n\nyes", "The answer.")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("reasoning", FORMATS, ids=lambda reasoning: reasoning.mark)
def test_a_thought_that_the_prompt_opened_is_split(reasoning, seed):
    text = f"let me see{reasoning.closing}The answer."
    assert told(text, reasoning, in_thought=True, seed=seed) == ("let me see", "The answer.")


@pytest.mark.parametrize("reasoning", FORMATS, ids=lambda reasoning: reasoning.mark)
def test_an_answer_without_a_thought_is_an_answer(reasoning):
    assert told(reasoning.direct + "Hello.\n", reasoning) == ("", "Hello.\n")


@pytest.mark.parametrize("seed", range(5))
def test_gpt_oss_channels_are_distinguished(seed):
    text = (
        "<|channel|>analysis<|message|>think<|end|>"
        "<|start|>assistant<|channel|>analysis<|message|>more<|end|>"
        "<|start|>assistant<|channel|>commentary<|message|>First. <|end|>"
        "<|start|>assistant<|channel|>final<|message|>Then."
    )
    assert told(text, HARMONY, seed=seed) == ("thinkmore", "First. Then.")


def test_newlines_beside_the_tags_are_left_out():
    assert told("<think>\n\na\nb\n</think>\n\n c\n") == ("a\nb", " c\n")


def test_an_empty_thought_is_none():
    assert told("<think>\n\n</think>\n\nhello") == ("", "hello")


def test_a_thought_that_never_ends_stays_a_thought():
    assert told("<think>\nI wonder </thin") == ("I wonder </thin", "")


def test_a_tag_inside_the_answer_is_text():
    text = "Write <think> first, then </think>."
    assert told(text) == ("", text)


def test_a_second_thought_before_the_answer_is_one():
    assert told("<think>a</think>\n<think>b</think>c") == ("ab", "c")


def test_a_model_without_a_format_is_watched_for_think_tags():
    assert told("\n<think>a</think>b", None) == ("a", "b")


@given(st.text(st.sampled_from("<think>/ \nab")), st.integers(0, 9))
def test_ordinary_text_passes_unchanged(text, seed):
    text = f"x{text}"
    assert told(text, None, seed=seed) == ("", text)


@given(st.text(st.sampled_from(" \n")), st.integers(0, 9))
def test_white_space_before_an_ordinary_answer_is_kept(space, seed):
    assert told(f"{space}x", None, seed=seed) == ("", f"{space}x")


def test_words_are_not_held_back():
    splitter = ReasoningSplitter(THINK)
    assert splitter.feed("Hel") == [Text("Hel")]
    assert splitter.feed("lo") == [Text("lo")]


def test_thoughts_are_not_held_back():
    splitter = ReasoningSplitter(THINK, in_thought=True)
    assert splitter.feed("Hel") == [Reasoning("Hel")]


# --- formats ---------------------------------------------------------------------------------


@pytest.mark.parametrize("reasoning", FORMATS, ids=lambda reasoning: reasoning.mark)
def test_a_format_is_found_by_its_mark(reasoning):
    assert reasoning_format(f"{{{{ x }}}} {reasoning.mark} {{{{ y }}}}") == reasoning


def test_a_template_that_knows_no_thoughts_has_no_format():
    assert reasoning_format("<|im_start|>assistant\n<response>") is None


# --- tokens ----------------------------------------------------------------------------------


def test_the_tags_special_tokens_are_to_be_rendered():
    tokenizer = FakeTokenizer()
    tags = {tokenizer.token_id("<think>"), tokenizer.token_id("</think>")}
    assert reasoning_token_ids(tokenizer, None) == tags
    assert reasoning_token_ids(tokenizer, HARMONY) == frozenset()


def ids_of(*parts):
    """Special texts as their tokens, other text as bytes."""
    tokenizer = FakeTokenizer()
    return [id_ for part in parts for id_ in tokenizer.encode(part, False, parse_special=True)]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("<|im_start|>assistant\n", False),
        ("<|im_start|>assistant\n<think>\n", True),
        ("<|im_start|>assistant\n<think>\nso far", True),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", False),
        ("<|im_start|>assistant\n<think>\na</think>\n\nThe ans", False),
        ("<|im_start|>user\nwhat is <think>?<|im_end|>\n<|im_start|>assistant\n", False),
    ],
)
def test_the_prompt_tells_whether_the_model_is_thinking(prompt, expected):
    assert begins_in_thought(FakeTokenizer(), THINK, ids_of(prompt)) is expected


def test_a_prompt_that_ends_with_a_thoughts_tag_tells_the_format():
    opened = opened_format("<|assistant|><think>\n")
    assert opened is not None and "</think>" in opened.thought_end
    assert opened_format("<think> is a tag") is None


def test_a_model_without_a_format_does_not_begin_in_a_thought():
    assert not begins_in_thought(FakeTokenizer(), None, ids_of("about <think>"))


def test_formats_are_values():
    assert ReasoningFormat("</think>", ("<think>",), ("</think>",)) == THINK
