"""Finds special tokens in text, only in trusted parts.

The longest token text is cut out first, everywhere, then the next one from the rest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lepton_cli.engine.text.tokenizer.vocabulary import TokenType, Vocabulary
from quant.gguf import Metadata

BLANK = " \t\n\v\f\r"
BEGINNING = 8  # characters that are searched first: many of thousands of tokens share them
OPEN, CLOSED = b"\0", b"\1"
TRUSTED, UNTRUSTED = OPEN, CLOSED

Fragment = str | int
"""A piece of text, or the id of a special token."""

Span = tuple[int, int, int]
"""Start and end of a special token in the text, and its id."""


@dataclass(frozen=True, slots=True)
class SpecialText:
    """A token found by its text; `takes_left` and `takes_right` remove spaces on that side."""

    text: str
    token: int
    type: TokenType
    takes_left: bool = False
    takes_right: bool = False

    @property
    def guarded(self) -> bool:
        """Whether untrusted text must not become this token.

        A user-defined token can mark turns and tools (`<|tool_call>`), like a control token. But
        some files define runs of spaces or accented letters that way; these are ordinary text.
        """
        if self.type != TokenType.USER_DEFINED:
            return True
        blank = self.text.replace("\u2581", " ").isspace()
        return not (blank or (len(self.text) == 1 and self.text.isalnum()))


def find_special_texts(metadata: Metadata, vocabulary: Vocabulary) -> list[SpecialText]:
    """All control, unknown and user-defined tokens. Raises ModelFileError."""
    takes_left, takes_right = _takes(metadata)
    found = []
    for token in vocabulary.of_types(TokenType.CONTROL, TokenType.UNKNOWN, TokenType.USER_DEFINED):
        text, kind = vocabulary.texts[token].decode(), TokenType(vocabulary.types[token])
        right = takes_right and text not in ("<unk>", "<s>", "<|endoftext|>")
        found.append(SpecialText(text, token, kind, text == takes_left, right))
    return found


def _takes(metadata: Metadata) -> tuple[str | None, bool]:
    """The token that removes spaces to its left, and whether special tokens do to their right.

    There is no key for this: it is known by the names of models, as in llama.cpp.
    """
    name = metadata.string("general.name", "").lower()
    pre = metadata.string("tokenizer.ggml.pre", "")
    architecture = metadata.string("general.architecture", "")
    if "jina-v2-" in pre or architecture in ("nomic-bert-moe", "jina-bert-v3"):
        return "<mask>", False
    if "modern-bert" in name:
        return "[MASK]", False
    return None, "phi-3" in name or "phi3" in name


class Splitter:
    """Cuts special tokens out of text."""

    def __init__(self, special: Sequence[SpecialText]) -> None:
        self._special = sorted(special, key=lambda found: -len(found.text.encode()))
        self._beginnings = {found.text[:BEGINNING] for found in special}

    def split(self, text: str, trust: bytes) -> list[Fragment]:
        """The text's fragments in order; `trust` has one byte per character."""
        closed, letters = Closed(trust), frozenset(text)
        present = {each for each in self._beginnings if letters.issuperset(each) and each in text}
        spans = [
            span
            for special in self._special
            if special.text[:BEGINNING] in present
            for span in _spans(text, special, closed)
        ]
        fragments, begin = list[Fragment](), 0
        for start, end, token in sorted(spans):
            fragments += [text[begin:start], token] if begin < start else [token]
            begin = end
        return [*fragments, text[begin:]] if begin < len(text) else fragments


class Closed:
    """Where no more special tokens may be found: one byte per character."""

    def __init__(self, trust: bytes) -> None:
        self._taken, self._guarded = bytearray(len(trust)), bytearray(trust)

    def is_taken(self, place: int) -> bool:
        return bool(self._taken[place])

    def take(self, start: int, end: int) -> None:
        self._taken[start:end] = CLOSED * (end - start)
        self._guarded[start:end] = CLOSED * (end - start)

    def next_open(self, start: int, end: int, guarded: bool) -> int:
        """`start` if all up to `end` is open, else the next open place; -1 if there is none."""
        marks = self._guarded if guarded else self._taken
        last = marks.rfind(CLOSED, start, end)
        return start if last < 0 else marks.find(OPEN, last)


def _spans(text: str, special: SpecialText, closed: Closed) -> Iterator[Span]:
    """A special token's places that are open, which it takes, with the blanks that it removes."""
    start = text.find(special.text)
    while start >= 0:
        end = start + len(special.text)
        place = closed.next_open(start, end, special.guarded)
        if place == start:
            while special.takes_left and start and _is_blank(text, start - 1, closed):
                start -= 1
            while special.takes_right and end < len(text) and _is_blank(text, end, closed):
                end += 1
            closed.take(start, end)
            yield start, end, special.token
            place = end
        start = text.find(special.text, place) if place >= 0 else -1


def _is_blank(text: str, place: int, closed: Closed) -> bool:
    return text[place] in BLANK and not closed.is_taken(place)
