"""RWKV's spelling: from the left, each time the longest token whose bytes come next."""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import AnyStr, Generic

from lepton_cli.engine.text.tokenizer.vocabulary import Vocabulary

ESCAPE = re.compile(rb"\\(x..|.)", re.DOTALL)
NAMED = {b"t": b"\t", b"n": b"\n", b"r": b"\r"}


def unescaped(text: bytes) -> bytes:
    r"""The bytes of a token that its file writes with \t, \n, \r, \xNN, and \ before itself."""
    return ESCAPE.sub(lambda found: _meant(found[1]), text)


def _meant(escape: bytes) -> bytes:
    try:
        return bytes([int(escape[1:], 16)]) if len(escape) > 1 else NAMED.get(escape, escape)
    except ValueError:  # no number: a file's own mistake, as it stands
        return escape


class LongestMatch(Generic[AnyStr]):
    """Finds the longest of many texts at a place; tries only the lengths that begin like it."""

    def __init__(self, texts: Iterable[AnyStr]) -> None:
        self._texts: frozenset[AnyStr] = frozenset(texts)
        lengths = defaultdict[AnyStr, set[int]](set)
        for text in self._texts:
            lengths[text[:2]].add(len(text))
        self._lengths: dict[AnyStr, list[int]] = {
            start: sorted(of, reverse=True) for start, of in lengths.items()
        }

    def at(self, text: AnyStr, place: int) -> AnyStr | None:
        """The longest match that begins there, if any."""
        for length in self._lengths.get(text[place : place + 2], ()):
            piece = text[place : place + length]
            if piece in self._texts:
                return piece
        first = text[place : place + 1]
        return first if first in self._texts else None


class LongestMatchSpeller:
    """Text to ids; bytes that begin no token are unknown."""

    def __init__(self, vocabulary: Vocabulary, unknown: int | None) -> None:
        self._ids = {unescaped(text): token for text, token in vocabulary.plain_ids().items()}
        self._ids.pop(b"", None)
        self._longest = LongestMatch(self._ids)
        self._unknown = [] if unknown is None else [unknown]

    def spell(self, text: str, after_special: bool) -> list[int]:
        left, place, ids = text.encode(), 0, list[int]()
        while place < len(left):
            piece = self._longest.at(left, place)
            ids += self._unknown if piece is None else [self._ids[piece]]
            place += len(piece or b"?")
        return ids

    def decoded(self, text: bytes) -> bytes:
        return unescaped(text)

    def tidy(self, text: str) -> str:
        return text
