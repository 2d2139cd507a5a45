"""Unigram's map of characters: which texts are replaced before a text is cut into tokens.

The file has it as a trie in a double array of 32-bit units (the format of Darts-clone), then the
replacements, each ending with a zero byte:

    u32 bytes of the trie | units | replacements
    unit: bits 10-30 offset, bit 9 offset is shifted by 8, bit 8 a text ends here, bits 0-7 label
    value: bit 31 set, bits 0-30 where in the replacements

Children of a node are at its place ^ offset ^ label, its value at its place ^ offset.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache

import numpy as np

from lepton_cli.engine.text.tokenizer.arrays import DAMAGED
from quant.errors import ModelFileError
from quant.gguf import Metadata

CHARACTER_MAP = "tokenizer.ggml.precompiled_charsmap"
MAX_STEPS = 1 << 20  # through the trie; those in use take 60,000
IS_VALUE, VALUE, ENDS, LABEL = 1 << 31, (1 << 31) - 1, 1 << 8, 0xFF
CACHED_TEXTS = 1 << 14


class CharacterMap:
    """Replaces texts from the left, each time the longest that the map has."""

    def __init__(self, blob: bytes) -> None:
        """Raises ValueError for a map that is broken."""
        size = int.from_bytes(blob[:4], "little")
        units = np.frombuffer(blob, "<u4", size // 4, 4).astype(np.int64)
        offsets = (units >> 10 & (1 << 21) - 1) << (units >> 6 & 8)
        self._units: list[int] = units.tolist()
        self._nodes: list[int] = (np.arange(len(units)) ^ offsets).tolist()
        self._texts = blob[4 + size :]
        self._later = self._later_characters()
        self._replaced = lru_cache(CACHED_TEXTS)(self._replace)

    def mapped(self, text: str) -> str:
        later = self._later & set(text)  # few: a pattern of all of them takes 3 seconds for 1 MB
        if not later:
            return text
        touched = f"(?s).?[{re.escape(''.join(sorted(later)))}]+"
        return re.sub(touched, lambda found: self._replaced(found[0]), text)

    def _replace(self, text: str) -> str:
        left, place, parts = text.encode(), 0, list[bytes]()
        while place < len(left):
            length, node = self._longest(left, place)
            parts.append(self._value(node) if length else left[place : place + 1])
            place += length or 1
        return b"".join(parts).decode()

    def _longest(self, text: bytes, start: int) -> tuple[int, int]:
        """The length of the longest text of the map that begins there, and its node."""
        node, longest = self._nodes[0], (0, 0)
        for place in range(start, len(text)):
            child, label = node ^ text[place], text[place]
            if not label or child >= len(self._units) or self._label(child) != label:
                break
            node = self._nodes[child]
            if self._units[child] & ENDS:
                longest = place + 1 - start, node
        return longest

    def _label(self, place: int) -> int:
        return self._units[place] & (IS_VALUE | LABEL)

    def _value(self, node: int) -> bytes:
        """The replacement. Raises ValueError if it is not there."""
        if node >= len(self._units):
            raise ValueError("a value lies outside of the trie")
        begin = self._units[node] & VALUE
        return self._texts[begin : self._texts.index(0, begin)]

    def _later_characters(self) -> set[str]:
        """The characters of the map's texts, without the first of longer ones.

        Where none of them is, nothing is replaced; at most the character before them takes part.
        Raises ValueError for a trie that is broken.
        """
        children, steps = self._children(), iter(range(MAX_STEPS))
        found, seen, left = set[str](), set[int](), [(self._nodes[0], True)]
        while left:
            node, is_first = left.pop()
            if node in seen:
                continue
            seen.add(node)
            for char, child in self._characters(children, node, b"", steps):
                ends = bool(self._units[child] & ENDS)
                if ends:
                    self._value(self._nodes[child]).decode()
                if ends or not is_first:
                    found.add(char)
                left.append((self._nodes[child], False))
        return found

    def _children(self) -> Mapping[int, list[int]]:
        """The places of each node's children."""
        children = defaultdict[int, list[int]](list)
        for place in range(len(self._units)):
            if 0 < self._label(place) < IS_VALUE:
                children[place ^ self._label(place)].append(place)
        return children

    def _characters(
        self, children: Mapping[int, list[int]], node: int, begun: bytes, steps: Iterator[int]
    ) -> Iterator[tuple[str, int]]:
        """The characters that may come next, each with the place of its last byte."""
        for child in children.get(node, ()):
            if next(steps, None) is None:
                raise ValueError("the trie has no end")
            spelled = begun + bytes([self._label(child)])
            if len(spelled) == _length(spelled[0]):
                yield spelled.decode(), child
            elif self._units[child] & ENDS:
                raise ValueError("a text ends within a character")
            else:
                yield from self._characters(children, self._nodes[child], spelled, steps)


def read_character_map(metadata: Metadata) -> CharacterMap | None:
    """The file's map. Raises ModelFileError for one that is broken."""
    if CHARACTER_MAP not in metadata:
        return None
    value = metadata[CHARACTER_MAP]
    if not isinstance(value, np.ndarray) or value.dtype.itemsize != 1:
        message = f"{metadata.path}: the key {CHARACTER_MAP} should be an array of bytes"
        raise ModelFileError(message)
    try:
        return CharacterMap(value.tobytes())
    except (ValueError, IndexError) as error:
        message = f"{metadata.path}: the key {CHARACTER_MAP} is not a map of characters"
        raise ModelFileError(f"{message}: {error}", DAMAGED) from error


def _length(lead: int) -> int:
    """The bytes of a character with this first one."""
    return 1 + (lead >= 0xC0) + (lead >= 0xE0) + (lead >= 0xF0)
