"""RWKV's spelling: from the left, each time the longest token whose bytes come next."""

import re
from collections import defaultdict

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


class LongestMatchSpeller:
    """Text to ids; bytes that begin no token are unknown."""

    def __init__(self, vocabulary: Vocabulary, unknown: int | None) -> None:
        self._ids = {unescaped(text): token for text, token in vocabulary.plain_ids().items()}
        self._unknown = [] if unknown is None else [unknown]
        lengths = defaultdict[bytes, set[int]](set)
        for text in self._ids:
            lengths[text[:2]].add(len(text))
        self._lengths = {start: sorted(of, reverse=True) for start, of in lengths.items()}

    def spell(self, text: str, after_special: bool) -> list[int]:
        left, at, ids = text.encode(), 0, list[int]()
        while at < len(left):
            lengths = (*self._lengths.get(left[at : at + 2], ()), 1)
            pieces = (left[at : at + length] for length in lengths)
            piece = next((piece for piece in pieces if piece in self._ids), None)
            ids += self._unknown if piece is None else [self._ids[piece]]
            at += 1 if piece is None else len(piece)
        return ids

    def decoded(self, text: bytes) -> bytes:
        return unescaped(text)

    def tidy(self, text: str) -> str:
        return text
