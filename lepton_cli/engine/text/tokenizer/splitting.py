"""Finds special tokens in text, only in trusted parts.

The longest token text is cut out first, everywhere, then the next one from the rest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lepton_cli.engine.text.tokenizer.vocabulary import TokenType, Vocabulary
from quant.gguf import Metadata

BLANK = " \t\n\v\f\r"
TRUSTED, UNTRUSTED = b"\1", b"\0"

Fragment = str | int
"""A piece of text, or the id of a special token."""

Span = tuple[int, int, int | None]
"""Start and end of a fragment in the text, and its id."""


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

    def split(self, text: str, trust: bytes) -> list[Fragment]:
        """The text's fragments in order; `trust` has one byte per character."""
        spans: list[Span] = [(0, len(text), None)] if text else []
        for special in self._special:
            if special.text in text:
                spans = [part for span in spans for part in _cut(text, span, special, trust)]
        return [text[start:end] if token is None else token for start, end, token in spans]


def _cut(text: str, span: Span, special: SpecialText, trust: bytes) -> Iterator[Span]:
    """The span without the occurrences of a special token."""
    begin, end, token = span
    at = begin if token is None else end
    while (found := text.find(special.text, at, end)) >= 0:
        after = found + len(special.text)
        if special.guarded and UNTRUSTED in trust[found:after]:
            at = found + 1
            continue
        before = len(text[begin:found].rstrip(BLANK)) + begin if special.takes_left else found
        if before > begin:
            yield begin, before, None
        yield found, after, special.token
        begin = at = _skip_blank(text, after, end) if special.takes_right else after
    if begin < end or token is not None:
        yield begin, end, token


def _skip_blank(text: str, start: int, end: int) -> int:
    while start < end and text[start] in BLANK:
        start += 1
    return start
