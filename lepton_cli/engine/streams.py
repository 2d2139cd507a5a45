"""From a model's tokens to what is shown: whole characters, stop strings, thoughts apart from answers."""

import codecs
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from lepton_cli.engine.events import Reasoning, Text


class Utf8Stream:
    """Bytes in, whole characters out; bytes that are no UTF-8 become U+FFFD."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> str:
        return self._decoder.decode(data)

    def flush(self) -> str:
        """U+FFFD for half a character at the end."""
        return self._decoder.decode(b"", final=True)


class StopMatcher:
    """Text in, the same text out up to the first of the stop strings.

    What may become a stop string is held back until it is clear.
    """

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""

    def feed(self, text: str) -> tuple[str, str | None]:
        """What may be shown, and the stop string that ends it, if one does."""
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
        """What was held back and is no stop string after all."""
        held, self._held = self._held, ""
        return held


# --- thoughts ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReasoningFormat:
    """The tags around a model's thoughts and, where it has such, around its answer.

    `mark`, in a template's source or in what it renders, tells the format. `between` names the
    speaker again after a thought. The first tag of each kind is the one to write.
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
        """What to write before a thought."""
        return self.thought[0] + self._line_break

    @property
    def closing(self) -> str:
        """What to write between a thought and the answer."""
        end = self._line_break + self.thought_end[0] + self._line_break * 2
        return end + "".join(self.between[:1]) + self.direct

    @property
    def direct(self) -> str:
        """What to write before an answer without a thought."""
        return "".join(self.answer[:1])

    @property
    def _line_break(self) -> str:
        return "" if self.answer else "\n"


def _tags(start: str, end: str) -> ReasoningFormat:
    return ReasoningFormat(end, (start,), (end,))


THINK = _tags("<think>", "</think>")
FORMATS = (
    ReasoningFormat(  # gpt-oss
        mark="<|channel|>analysis",
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
    ReasoningFormat(  # Command R7B, Command A
        mark="<|START_THINKING|>",
        thought=("<|START_THINKING|>",),
        thought_end=("<|END_THINKING|>",),
        answer=("<|START_RESPONSE|>", "<|START_TEXT|>"),
        answer_end=("<|END_RESPONSE|>", "<|END_TEXT|>"),
    ),
    ReasoningFormat(  # Apriel
        mark="[BEGIN FINAL RESPONSE]",
        thought=("Here are my reasoning steps:",),
        thought_end=("[BEGIN FINAL RESPONSE]",),
        answer_end=("[END FINAL RESPONSE]",),
    ),
    ReasoningFormat(  # Granite
        mark="</response>",
        thought=("<think>",),
        thought_end=("</think>",),
        answer=("<response>",),
        answer_end=("</response>",),
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
    """How a model thinks, by its template's source and what it renders; None: no way of its own."""
    return next((format_ for format_ in FORMATS if format_.mark in template), None)


class SpecialTokens(Protocol):
    """What finding tags among tokens needs of a tokenizer."""

    @property
    def special_texts(self) -> Sequence[str]: ...
    def token_id(self, text: str) -> int | None: ...
    def token_bytes(self, id: int, render_special: bool = False) -> bytes: ...  # noqa: A002


def reasoning_token_ids(
    tokenizer: SpecialTokens, reasoning: ReasoningFormat | None
) -> frozenset[int]:
    """The special tokens that make up the tags: they must be rendered for the splitter to see."""
    tags = (reasoning or THINK).tags
    texts = (text for text in tokenizer.special_texts if any(text in tag for tag in tags))
    ids = (tokenizer.token_id(text) for text in texts if text)
    return frozenset(id_ for id_ in ids if id_ is not None)


def begins_in_thought(
    tokenizer: SpecialTokens, reasoning: ReasoningFormat | None, prompt: Sequence[int]
) -> bool:
    """Whether a prompt leaves the model amid a thought: its template opened one, or its partial
    answer did. Only what follows the last control token, the beginning of the turn, is looked at.
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


Place = Literal["before", "thought", "answer"]
"""Where in an answer the stream is; `before` is also between a thought and the next."""


class ReasoningSplitter:
    """Text in, Text and Reasoning out. The tags and the newlines next to them are left out.

    Tags count at the beginning and after a thought; amid the answer they are text. A model without
    a format of its own is watched for `<think>`. A thought that never ends stays one.
    """

    def __init__(self, reasoning: ReasoningFormat | None, *, in_thought: bool = False) -> None:
        self._tags = reasoning or THINK
        self._place: Place = "thought" if in_thought else "before"
        self._after_tag = in_thought
        self._held = ""

    def feed(self, text: str) -> list[Text | Reasoning]:
        self._held += text
        return list(self._settled())

    def flush(self) -> list[Text | Reasoning]:
        """What was held back, at the end of the answer."""
        held, self._held = self._held, ""
        if self._place == "before" and self._after_tag:
            held = held.lstrip("\n")
        return self._shown(held)

    def _settled(self) -> Iterator[Text | Reasoning]:
        moved = True
        while moved:
            if self._place == "before":
                moved = self._find_tag()
            else:
                events, moved = self._find_end()
                yield from events

    def _find_tag(self) -> bool:
        """Takes a tag from the front; whether it is clear what is there."""
        rest = self._held.lstrip()
        tags = self._tags
        if not rest:
            return False
        for tag in (*tags.thought, *tags.answer, *tags.between):
            if rest.startswith(tag):
                self._enter("thought" if tag in tags.thought else "answer" if tag in tags.answer else "before", rest[len(tag):])
                return True
        ...
