"""Finding special tokens in text, only where the text may be trusted.

The longest token text is cut out first, wherever it stands, then the next one from what is left.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lepton_cli.engine.text.tokenizer.vocabulary import TokenType, Vocabulary
from quant.gguf import Metadata

BLANK = " \t\n\v\f\r"
TRUSTED, UNTRUSTED = b"\1", b"\0"

Fragment = str | int
"""A stretch of text, or the id of a special token."""

Span = tuple[int, int, int | None]
"""Where a fragment begins and ends in the text, and its id."""


@dataclass(frozen=True, slots=True)
class SpecialText:
    """A token that is found by its text; `takes_left` and `takes_right` swallow the blank there."""

    text: str
    token: int
    type: TokenType
    takes_left: bool = False
    takes_right: bool = False

    @property
    def guarded(self) -> bool:
        """Whether text that is not trusted may not become it.

        A user-defined token can mark turns and tools (`<|tool_call>`) as well as a control token.
        But some files define runs of blanks or accented letters that way, which are words like any
        others: text does become those.
        """
        if self.type != TokenType.USER_DEFINED:
            return True
        blank = self.text.replace("\u2581", " ").isspace()
        return not (blank or (len(self.text) == 1 and self.text.isalnum()))


def find_special_texts(metadata: Metadata, vocabulary: Vocabulary) -> list[SpecialText]:
    """All control, unknown and user-defined tokens; raises ModelFileError."""
    takes_left, takes_right = _takes(metadata)
    found = []
    for token in vocabulary.of_types(TokenType.CONTROL, TokenType.UNKNOWN, TokenType.USER_DEFINED):
        text, kind = vocabulary.texts[token].decode(), TokenType(vocabulary.types[token])
        right = takes_right and text not in ("<unk>", "<s>", "<|endoftext|>")
        found.append(SpecialText(text, token, kind, text == takes_left, right))
    return found


def _takes(metadata: Metadata) -> tuple[str | None, bool]:
    """The text that swallows the blank to its left, and whether special tokens do to their right.

    No key says so: it is known of these models by their names, as in llama.cpp.
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
        """The text's fragments in order; `trust` says of every character whether it is trusted."""
        spans: list[Span] = [(0, len(text), None)] if text else []
        for special in self._special:
            if special.text in text:
                spans = [part for span in spans for part in _cut(text, span, special, trust)]
        return [text[start:end] if token is None else token for start, end, token in spans]


def _cut(text: str, span: Span, special: SpecialText, trust: bytes) -> Iterator[Span]:
    """The span with every occurrence of a special token cut out of it."""
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
