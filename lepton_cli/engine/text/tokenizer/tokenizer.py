"""The tokenizer of a model file: text to ids and back."""

from collections.abc import Sequence
from typing import Protocol

from lepton_cli.engine.text.messages import Segment
from lepton_cli.engine.text.tokenizer.special import SpecialTokens
from lepton_cli.engine.text.tokenizer.splitting import (
    TRUSTED,
    UNTRUSTED,
    Fragment,
    SpecialText,
    Splitter,
)
from lepton_cli.engine.text.tokenizer.vocabulary import TokenType, Vocabulary
from quant.errors import UsageError


class Speller(Protocol):
    """Encodes text between special tokens; each tokenizer model has its own."""

    def spell(self, text: str, after_special: bool) -> list[int]:
        """The text's ids; `after_special`: it is at the beginning or follows a special token."""

    def decoded(self, text: bytes) -> bytes:
        """The bytes that a normal token's text means."""

    def tidy(self, text: str) -> str:
        """A decoded text without what encoding had added."""


class Tokenizer:
    """Text to ids and back. `notes`: messages about missing metadata."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        special: SpecialTokens,
        special_texts: Sequence[SpecialText],
        speller: Speller,
        notes: Sequence[str],
    ) -> None:
        self._vocabulary, self._special, self._speller = vocabulary, special, speller
        self._splitter = Splitter(special_texts)
        self.notes = tuple(notes)
        self.vocab_size = len(vocabulary.texts)
        self.bos, self.eos = special.bos, special.eos
        self.adds_bos, self.adds_eos = bool(special.before), bool(special.after)
        self.end_of_generation = special.end_of_generation
        self.special_texts = tuple(found.text for found in special_texts if found.guarded)

    @property
    def texts(self) -> Sequence[bytes]:
        """The vocabulary's text of each token, by id."""
        return self._vocabulary.texts

    def encode(self, text: str, add_special: bool = True, parse_special: bool = False) -> list[int]:
        """The ids of a text. Without `parse_special` only tokens for plain text are used.

        Raises UsageError for text that is not valid UTF-8.
        """
        return self.encode_segments([Segment(text, trusted=parse_special)], add_special)

    def encode_segments(self, segments: Sequence[Segment], add_special: bool = True) -> list[int]:
        """Encodes the segments as one text; special tokens are found only in trusted parts.

        Raises UsageError for text that is not valid UTF-8.
        """
        text = "".join(part.text for part in segments)
        _check_utf8(text)
        marks = [(TRUSTED if part.trusted else UNTRUSTED) * len(part.text) for part in segments]
        ids = self._spell(self._splitter.split(text, b"".join(marks)))
        return [*self._special.before, *ids, *self._special.after] if add_special else ids

    def encode_pair(self, first: str, second: str) -> tuple[list[int], list[int], list[int]]:
        """Two texts as one sequence, in three parts: the first, the second, and what ends both.

        Raises UsageError for text that is not valid UTF-8.
        """
        one, two = (self.encode(text, add_special=False) for text in (first, second))
        special = self._special
        return [*special.before, *one, *special.between], two, [*special.after]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of a sequence without special tokens; invalid characters become U+FFFD."""
        text = b"".join(map(self.token_bytes, ids)).decode(errors="replace")
        return self._speller.tidy(text)

    def token_bytes(self, token: int, render_special: bool = False) -> bytes:
        """The bytes that a token adds to a stream: perhaps part of a character, or nothing."""
        text = self._text(token)
        match self._vocabulary.types[token]:
            case TokenType.NORMAL:
                return self._speller.decoded(text)
            case TokenType.BYTE:
                return bytes([self._vocabulary.byte_value(token)])
            case TokenType.USER_DEFINED:
                return text
            case TokenType.CONTROL | TokenType.UNKNOWN if render_special:
                return text
        return b""

    def token_text(self, token: int) -> str:
        """The vocabulary's text of a token, in its own encoding."""
        return self._text(token).decode()

    def token_type(self, token: int) -> TokenType:
        self._text(token)
        return TokenType(self._vocabulary.types[token])

    def token_id(self, text: str) -> int | None:
        """The token with this text in the vocabulary."""
        return self._vocabulary.ids.get(text.encode())

    def _text(self, token: int) -> bytes:
        if not 0 <= token < self.vocab_size:
            message = f"there is no token {token}: the vocabulary has {self.vocab_size}"
            raise UsageError(message, f"token ids are 0 to {self.vocab_size - 1}")
        return self._vocabulary.texts[token]

    def _spell(self, fragments: Sequence[Fragment]) -> list[int]:
        ids: list[int] = []
        after_special = True
        for fragment in fragments:
            if isinstance(fragment, str):
                ids += self._speller.spell(fragment, after_special)
            else:
                ids.append(fragment)
            after_special = not isinstance(fragment, str)
        return ids


def _check_utf8(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        message = f"the text has a lone surrogate at character {error.start}: it is not UTF-8"
        raise UsageError(message, "give text that is UTF-8") from error
