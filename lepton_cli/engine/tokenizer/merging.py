"""Spelling by merging: byte-pair encoding and SentencePiece's greedy pairs are the same loop.

A text is cut into pieces, a piece into symbols; then the best of all neighbouring pairs is merged,
again and again. What remains is looked up in the vocabulary, or written byte by byte.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from heapq import heappop, heappush
from itertools import chain
from typing import Protocol

from lepton_cli.engine.tokenizer.alphabets import Alphabet
from lepton_cli.engine.tokenizer.vocabulary import Vocabulary

CACHED_PIECES = 1 << 16  # words repeat, and a chat's earlier turns are encoded again at every turn


def merge(symbols: list[bytes], priorities: Mapping[bytes, float], separator: bytes) -> list[bytes]:
    """Merges the pair of lowest priority, the leftmost of equals, until no pair has one.

    A pair's priority is found under `left + separator + right`. Takes n log n steps for n symbols.
    """
    end = len(symbols)
    symbols = [*symbols, b""]
    following, preceding = list(range(1, end + 2)), list(range(-1, end))
    queue: list[tuple[float, int, bytes, bytes]] = []

    def consider(i: int, j: int) -> None:
        left, right = symbols[i], symbols[j]
        priority = priorities.get(left + separator + right)
        if priority is not None:
            heappush(queue, (priority, i, left, right))

    for i in range(end - 1):
        consider(i, i + 1)
    while queue:
        _, i, left, right = heappop(queue)
        j = following[i]
        if symbols[i] != left or symbols[j] != right:
            continue  # one of the two has been merged since
        symbols[i], symbols[j] = left + right, b""
        following[i] = j = following[j]
        preceding[j] = i
        if j < end:
            consider(i, j)
        if i > 0:
            consider(preceding[i], i)
    return [symbol for symbol in symbols if symbol]


class Cutter(Protocol):
    """Cuts text into the pieces inside which symbols may merge."""

    def cut(self, text: str, after_special: bool) -> list[str]:
        """The pieces; `after_special` says that the text begins, or follows a special token."""

    def tidy(self, text: str) -> str:
        """A whole decoded text without what cutting had added."""


@dataclass(frozen=True, slots=True)
class Merges:
    """Which pairs merge (see `merge`), or that a piece that is a token is taken whole before."""

    priorities: Mapping[bytes, float]
    separator: bytes = b""
    whole_first: bool = False


class MergeSpeller:
    """Text to ids: cut, merge, look up; what is no token goes byte by byte, or is unknown."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        unknown: int | None,
        cutter: Cutter,
        alphabet: Alphabet,
        merges: Merges,
    ) -> None:
        self._ids, self._unknown = vocabulary.plain_ids(), unknown
        self._cutter, self._alphabet, self._merges = cutter, alphabet, merges
        texts = [alphabet.byte_text(byte) for byte in range(256)]
        single = {byte: self._ids[text] for byte, text in enumerate(texts) if text in self._ids}
        self._byte_ids = single | vocabulary.byte_ids()
        self._spelled = lru_cache(CACHED_PIECES)(self._spell_piece)

    def spell(self, text: str, after_special: bool) -> list[int]:
        pieces = self._cutter.cut(text, after_special)
        return list(chain.from_iterable(map(self._spelled, pieces)))

    def decoded(self, text: bytes) -> bytes:
        return self._alphabet.decoded(text)

    def tidy(self, text: str) -> str:
        return self._cutter.tidy(text)

    def _spell_piece(self, piece: str) -> list[int]:
        symbols = self._alphabet.symbols(piece)
        whole = b"".join(symbols)
        if self._merges.whole_first and whole in self._ids:
            return [self._ids[whole]]
        ids: list[int] = []
        for symbol in merge(symbols, self._merges.priorities, self._merges.separator):
            token = self._ids.get(symbol)
            ids += self._spell_bytes(symbol) if token is None else [token]
        return ids

    def _spell_bytes(self, symbol: bytes) -> list[int]:
        data = self._alphabet.decoded(symbol)
        if self._unknown is not None and any(byte not in self._byte_ids for byte in data):
            return [self._unknown]
        return [self._byte_ids[byte] for byte in data if byte in self._byte_ids]
