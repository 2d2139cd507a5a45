"""From token bytes to output: whole characters, stop strings, splitting off reasoning."""

import codecs
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from lepton_cli.engine.events import Reasoning, Text
from lepton_cli.engine.text.tokenizer import Tokenizer


class Utf8Stream:
    """Decodes a stream of bytes into whole characters; invalid bytes become U+FFFD."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> str:
        return self._decoder.decode(data)

    def flush(self) -> str:
        """U+FFFD for an incomplete character at the end."""
        return self._decoder.decode(b"", final=True)

    @property
    def is_whole(self) -> bool:
        """Whether the bytes so far end with a whole character."""
        return not self._decoder.getstate()[0]


class StopMatcher:
    """Passes text through up to the first stop string.

    Text that may be the beginning of a stop string is held back.
    """

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""

    def feed(self, text: str) -> tuple[str, str | None]:
        """The text that may be shown, and the stop string that was found, if any."""
        held = self._held + text
        found = _first(held, self._stops)
        if found is not None:
            at, stop = found
            self._held = ""
            return held[:at], stop
        shown = len(held) - _partial(held, self._stops)
        self._held = held[shown:]
        return held[:shown], None

    def flush(self) -> str:
        """The text that was held back, at the end of the answer."""
        held, self._held = self._held, ""
        return held


# --- thoughts ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReasoningFormat:
    """The tags around a model's reasoning and, if it has any, around its answer.

    `mark` identifies the format in a template's source or output. `between` follows reasoning and
    names the speaker again. The first tag of each kind is used for writing.
    """

    mark: str
    thought: tuple[str, ...]
    thought_end: tuple[str, ...]
    answer: tuple[str, ...] = ()
    answer_end: tuple[str, ...] = ()
    between: tuple[str, ...] = ()

    @property
    def tags(self) -> tuple[str, ...]:
        return (
            *(*self.thought, *self.thought_end, *self.answer),
            *(*self.answer_end, *self.between),
        )

    @property
    def opening(self) -> str:
        """The text before reasoning."""
        return self.thought[0] + self._line_break

    @property
    def closing(self) -> str:
        """The text between reasoning and the answer."""
        end = self._line_break + self.thought_end[0] + self._line_break * 2
        return end + "".join(self.between[:1]) + self.direct

    @property
    def direct(self) -> str:
        """The text before an answer without reasoning."""
        return "".join(self.answer[:1])

    @property
    def _line_break(self) -> str:
        return "" if self.answer else "\n"


def _tags(start: str, end: str) -> ReasoningFormat:
    return ReasoningFormat(end, (start,), (end,))


THINK = _tags("<think>", "</think>")
FORMATS = (
    ReasoningFormat(  # gpt-oss
        mark="<|channel|>final",
        thought=("<|channel|>analysis<|message|>",),
        thought_end=("<|end|>",),
        answer=("<|channel|>final<|message|>", "<|channel|>commentary<|message|>"),
        answer_end=("<|end|>",),
        between=("<|start|>assistant",),
    ),
    ReasoningFormat(  # Solar
        mark="assistant<|think|>",
        thought=("<|think|>",),
        thought_end=("<|end|>",),
        answer=("<|content|>",),
        answer_end=("<|end|>",),
        between=("<|begin|>assistant",),
    ),
    ReasoningFormat(  # Muse
        mark="<|start|>assistant to=self",
        thought=(" to=self<|message|>",),
        thought_end=("<|eom|>",),
        answer=(" to=user<|message|>", "<|message|>"),
        answer_end=("<|eom|>",),
        between=("<|start|>assistant",),
    ),
    ReasoningFormat(  # Kimi K3
        mark="<|open|>think<|sep|>",
        thought=("<|open|>think<|sep|>",),
        thought_end=("<|close|>think<|sep|>",),
        answer=("<|open|>response<|sep|>",),
        answer_end=("<|close|>response<|sep|>",),
    ),
    ReasoningFormat(  # Command R7B
        mark="<|START_RESPONSE|>",
        thought=("<|START_THINKING|>",),
        thought_end=("<|END_THINKING|>",),
        answer=("<|START_RESPONSE|>",),
        answer_end=("<|END_RESPONSE|>",),
    ),
    ReasoningFormat(  # Command A, later ones
        mark="<|START_TEXT|>",
        thought=("<|START_THINKING|>",),
        thought_end=("<|END_THINKING|>",),
        answer=("<|START_TEXT|>",),
        answer_end=("<|END_TEXT|>",),
    ),
    ReasoningFormat(  # Apriel
        mark="[BEGIN FINAL RESPONSE]",
        thought=("Here are my reasoning steps:",),
        thought_end=("[BEGIN FINAL RESPONSE]",),
        answer_end=("[END FINAL RESPONSE]",),
    ),
    ReasoningFormat(  # Granite
        mark="<response></response>",
        thought=("<think>",),
        thought_end=("</think>",),
        answer_end=("</response>",),
        between=("<response>",),
    ),
    ReasoningFormat("<|channel>thought", ("<|channel>thought",), ("<channel|>",)),  # Gemma 4
    _tags("<|inner_prefix|>", "<|inner_suffix|>"),  # Apertus
    _tags("[THINK]", "[/THINK]"),  # Magistral, Ministral
    _tags("<seed:think>", "</seed:think>"),
    _tags("<mm:think>", "</mm:think>"),  # MiniMax
    _tags("<think:opensource>", "</think:opensource>"),  # Hunyuan
    _tags("<reasoning>", "</reasoning>"),
    THINK,
    _tags("<thinking>", "</thinking>"),
)


def reasoning_format(template: str) -> ReasoningFormat | None:
    """The reasoning format of a model, from its template's source and output, or None."""
    return next((format_ for format_ in FORMATS if format_.mark in template), None)


def opened_format(prompt: str) -> ReasoningFormat | None:
    """The format of reasoning that a rendered prompt leaves open."""
    end = prompt.rstrip()
    return next((format_ for format_ in FORMATS if end.endswith(format_.thought)), None)


def reasoning_token_ids(tokenizer: Tokenizer, reasoning: ReasoningFormat | None) -> frozenset[int]:
    """The special tokens of the tags, which must be rendered for the splitter."""
    tags = (reasoning or THINK).tags
    texts = (text for text in tokenizer.special_texts if any(text in tag for tag in tags))
    ids = (tokenizer.token_id(text) for text in texts if text)
    return frozenset(id_ for id_ in ids if id_ is not None)


def begins_in_thought(
    tokenizer: Tokenizer, reasoning: ReasoningFormat | None, prompt: Sequence[int]
) -> bool:
    """Whether a prompt ends inside reasoning, opened by the template or the partial answer.

    Only the text after the last control token (the beginning of the turn) counts.
    """
    if reasoning is None:
        return False
    shown = reasoning_token_ids(tokenizer, reasoning)
    turn: list[bytes] = []
    for token in reversed(prompt):
        data = tokenizer.token_bytes(token, render_special=token in shown)
        if not data:
            break
        turn.append(data)
    text = b"".join(reversed(turn)).decode(errors="replace")
    for speaker in reasoning.between:
        text = text.rpartition(speaker)[2]
    return _last(text, reasoning.thought) > _last(text, reasoning.thought_end)


Phase = Literal["before", "thought", "answer"]
"""The phase of an answer; `before` is also between two pieces of reasoning."""


class ReasoningSplitter:
    """Splits text into Text and Reasoning; removes the tags and the newlines next to them.

    Tags count at the beginning and after reasoning; inside the answer they are text. For a model
    without a format `<think>` is used. Unclosed reasoning stays reasoning. `has_thought`: reasoning
    has begun, even if it is empty.
    """

    def __init__(self, reasoning: ReasoningFormat | None, *, in_thought: bool = False) -> None:
        self._tags = tags = reasoning or THINK
        self._starts: tuple[tuple[Phase, tuple[str, ...]], ...] = (
            ("thought", tags.thought),
            ("answer", tags.answer),
            ("before", tags.between),
        )
        self._place: Phase = "thought" if in_thought else "before"
        self._after_tag = self.has_thought = in_thought
        self._held = ""

    @property
    def in_thought(self) -> bool:
        return self._place == "thought"

    @property
    def is_answering(self) -> bool:
        """Whether all that follows is the answer."""
        return self._place == "answer" and not self._tags.answer_end

    def feed(self, text: str) -> list[Text | Reasoning]:
        self._held += text
        return list(self._settled())

    def flush(self) -> list[Text | Reasoning]:
        """The text that was held back, at the end of the answer."""
        held, self._held = self._held, ""
        return self._shown(held.lstrip("\n") if self._after_tag else held)

    def _settled(self) -> Iterator[Text | Reasoning]:
        moved = True
        while moved:
            if self._place == "before":
                moved = self._find_start()
            else:
                events, moved = self._find_end()
                yield from events

    def _find_start(self) -> bool:
        """Whether it is certain what the text begins with; removes a tag."""
        rest, unclear = self._held.lstrip(), False
        for place, tags in self._starts:
            for tag in tags:
                if rest.startswith(tag.lstrip()):
                    self._enter(place, rest[len(tag.lstrip()) :])
                    return True
                unclear |= tag.lstrip().startswith(rest)
        if not unclear:
            self._place = "answer"
        return not unclear

    def _find_end(self) -> tuple[list[Text | Reasoning], bool]:
        """The events that can be shown, and whether a tag ends the reasoning or answer."""
        thinking = self._place == "thought"
        held = self._held.lstrip("\n") if self._after_tag else self._held
        ends = self._tags.thought_end if thinking else self._tags.answer_end
        found = _first(held, ends)
        stop = found[0] if found else len(held) - _partial(held, ends)
        shown = held[:stop].rstrip("\n") if thinking else held[:stop]
        events = self._shown(shown)
        if found:
            self._enter("before", held[stop + len(found[1]) :])
        else:
            self._held, self._after_tag = held[len(shown) :], self._after_tag and not shown
        return events, found is not None

    def _enter(self, place: Phase, rest: str) -> None:
        self._place, self._held, self._after_tag = place, rest, True
        self.has_thought |= place == "thought"

    def _shown(self, text: str) -> list[Text | Reasoning]:
        if not text:
            return []
        return [Reasoning(text) if self._place == "thought" else Text(text)]


def _first(text: str, tags: Iterable[str]) -> tuple[int, str] | None:
    """Position and text of the first tag; the longest if several begin there."""
    found = [(text.find(tag), -len(tag), tag) for tag in tags if tag in text]
    return (min(found)[0], min(found)[2]) if found else None


def _last(text: str, tags: Iterable[str]) -> int:
    return max(text.rfind(tag) for tag in tags)


def _partial(text: str, tags: Iterable[str]) -> int:
    """The number of last characters that may be the beginning of a tag."""
    sizes = (
        size for tag in tags for size in range(len(tag) - 1, 0, -1) if text.endswith(tag[:size])
    )
    return max(sizes, default=0)
