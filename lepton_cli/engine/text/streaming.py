"""From token bytes to what is shown: whole characters, stop strings, thoughts told from answers."""

import codecs
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from lepton_cli.engine.events import Reasoning, Text
from lepton_cli.engine.text.tokenizer import Tokenizer


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

    `mark`, in a template's source or in what it renders, tells the format. `between` follows a
    thought, to name the speaker again. The first tag of each kind is the one to write.
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
    """How a model thinks, by its template's source and what it renders; None: no way of its own."""
    return next((format_ for format_ in FORMATS if format_.mark in template), None)


def opened_format(prompt: str) -> ReasoningFormat | None:
    """The format whose thought a rendered prompt leaves open."""
    end = prompt.rstrip()
    return next((format_ for format_ in FORMATS if end.endswith(format_.thought)), None)


def reasoning_token_ids(tokenizer: Tokenizer, reasoning: ReasoningFormat | None) -> frozenset[int]:
    """The special tokens that make up the tags: they must be rendered for the splitter to see."""
    tags = (reasoning or THINK).tags
    texts = (text for text in tokenizer.special_texts if any(text in tag for tag in tags))
    ids = (tokenizer.token_id(text) for text in texts if text)
    return frozenset(id_ for id_ in ids if id_ is not None)


def begins_in_thought(
    tokenizer: Tokenizer, reasoning: ReasoningFormat | None, prompt: Sequence[int]
) -> bool:
    """Whether a prompt ends amid a thought: its template opened one, or the answer so far did.

    Only what follows the last control token, the beginning of the turn, is looked at.
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
    `has_thought`: one has begun, even if nothing of it was shown.
    """

    def __init__(self, reasoning: ReasoningFormat | None, *, in_thought: bool = False) -> None:
        self._tags = tags = reasoning or THINK
        self._starts: tuple[tuple[Place, tuple[str, ...]], ...] = (
            ("thought", tags.thought),
            ("answer", tags.answer),
            ("before", tags.between),
        )
        self._place: Place = "thought" if in_thought else "before"
        self._after_tag = self.has_thought = in_thought
        self._held = ""

    def feed(self, text: str) -> list[Text | Reasoning]:
        self._held += text
        return list(self._settled())

    def flush(self) -> list[Text | Reasoning]:
        """What was held back, at the end of the answer."""
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
        """Whether it is clear what the text begins with; a tag is taken off."""
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
        """What can be shown of a thought or an answer, and whether a tag ends it."""
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

    def _enter(self, place: Place, rest: str) -> None:
        self._place, self._held, self._after_tag = place, rest, True
        self.has_thought |= place == "thought"

    def _shown(self, text: str) -> list[Text | Reasoning]:
        if not text:
            return []
        return [Reasoning(text) if self._place == "thought" else Text(text)]


def _first(text: str, tags: Iterable[str]) -> tuple[int, str] | None:
    """Where the first of the tags is, and which; the longest of those that begin there."""
    found = [(text.find(tag), -len(tag), tag) for tag in tags if tag in text]
    return (min(found)[0], min(found)[2]) if found else None


def _last(text: str, tags: Iterable[str]) -> int:
    return max(text.rfind(tag) for tag in tags)


def _partial(text: str, tags: Iterable[str]) -> int:
    """How many characters at the end may be the beginning of a tag."""
    sizes = (
        size for tag in tags for size in range(len(tag) - 1, 0, -1) if text.endswith(tag[:size])
    )
    return max(sizes, default=0)
