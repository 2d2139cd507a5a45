"""Spelling by merging: byte-pair encoding and SentencePiece's greedy pairs are the same loop.

A text is cut into pieces, a piece into symbols; then the best of all neighbouring pairs is merged,
again and again. What remains is looked up in the vocabulary, or written byte by byte.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from heapq import heappop, heappush
from itertools import chain
from typing import Protocol

CACHED_PIECES = 1 << 16  # words repeat, and a chat's earlier turns are encoded again at every turn


def merge(
    symbols: list[bytes], priorities: Mapping[bytes, float], separator: bytes
) -> list[bytes]:
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

    def cut(self, text: str, after_special: bool) -> Iterable[str]: ...


class Alphabet(Protocol):
    """How the vocabulary writes text."""

    def symbols(self, piece: str) -> list[bytes]:
        """The units that merging starts from."""

    def decoded(self, text: bytes) -> bytes:
        """The bytes that a token's text stands for."""


class ByteAlphabet:
    """One printable character a byte: most stand for themselves, the other 68 for U+0100 and up."""

    def __init__(self) -> None:
        printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
        spare = iter(range(0x100, 0x200))
        codes = [byte if byte in printable else next(spare) for byte in range(256)]
        self._symbols = [chr(code).encode() for code in codes]
        self._bytes = {chr(code): bytes([byte]) for byte, code in enumerate(codes)}

    def symbols(self, piece: str) -> list[bytes]:
        return [self._symbols[byte] for byte in piece.encode()]

    def decoded(self, text: bytes) -> bytes:
        return b"".join(self._bytes.get(char) or char.encode() for char in text.decode())


class CharacterAlphabet:
    """Plain UTF-8, in which `space` stands for a space."""

    def __init__(self, space: str) -> None:
        self._space = space.encode()

    def symbols(self, piece: str) -> list[bytes]:
        return [char.encode() for char in piece]

    def decoded(self, text: bytes) -> bytes:
        return text.replace(self._space, b" ")


class MergeSpeller:
    """Text to ids: cut, merge, look up; what is no token goes byte by byte, or is `unknown`."""

    def __init__(
        self,
        ids: Mapping[bytes, int],
        bytes_ids: Mapping[int, int],
        unknown: int | None,
        cutter: Cutter,
        alphabet: Alphabet,
        merged: Callable[[list[bytes]], list[bytes]],
    ) -> None:
        self._ids, self._byte_ids, self._unknown = ids, bytes_ids, unknown
        self._cutter, self._alphabet, self._merged = cutter, alphabet, merged
        self._piece_ids = lru_cache(CACHED_PIECES)(self._spell_piece)

    def spell(self, text: str, after_special: bool) -> list[int]:
        pieces = self._cutter.cut(text, after_special)
        return list(chain.from_iterable(map(self._piece_ids, pieces)))
