"""Byte-pair encoding (`gpt2`, `gemma4`): patterns split text into pieces, which are merged.

`hybriddna` has tokens of six bases besides, for DNA between <dna> and </dna>.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from typing import Protocol

import regex

from lepton_cli.engine.text.tokenizer.pretokenizers import Pretokenizer
from lepton_cli.engine.text.tokenizer.spellers.merging import Merger, read_merges
from lepton_cli.engine.text.tokenizer.vocabulary import Vocabulary
from quant.gguf import Metadata

DNA = regex.compile(r"<dna>(.*?)(</dna>|\Z)", regex.DOTALL)
BASES, PADDING = 6, b"A"  # of a token; the last one is filled up
DNA_MARK = "\ue000".encode()  # in the vocabulary behind bases, which may also be a token of text
CACHED_PIECES = 1 << 16  # words repeat, and earlier turns are encoded again


class Alphabet(Protocol):
    """The encoding of text in a vocabulary."""

    def written(self, piece: str) -> str:
        """Text as the vocabulary writes it."""

    def decoded(self, text: bytes) -> bytes:
        """The bytes that a token's text means."""


class ByteAlphabet:
    """A printable character per byte: most are themselves, 68 become U+0100 and up."""

    def __init__(self) -> None:
        printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
        spare = iter(range(0x100, 0x200))
        codes = [byte if byte in printable else next(spare) for byte in range(256)]
        self.characters = "".join(map(chr, codes))
        self._bytes = {char: bytes([byte]) for byte, char in enumerate(self.characters)}

    def written(self, piece: str) -> str:
        return piece.encode().decode("latin-1").translate(self.characters)

    def decoded(self, text: bytes) -> bytes:
        return b"".join(self._bytes.get(char) or char.encode() for char in text.decode())


class PlainAlphabet:
    """Plain UTF-8, where `space` represents a space (already replaced in the text)."""

    def __init__(self, space: str) -> None:
        self._space = space.encode()

    def written(self, piece: str) -> str:
        return piece

    def decoded(self, text: bytes) -> bytes:
        return text.replace(self._space, b" ")


class PatternCutter:
    """Splits text by several patterns in turn; matches and the text between become pieces."""

    def __init__(self, pretokenizer: Pretokenizer) -> None:
        self._how = pretokenizer
        self._patterns = [regex.compile(f"({pattern})") for pattern in pretokenizer.patterns]

    def cut(self, text: str) -> list[str]:
        if self._how.lowercase:
            text = "".join(map(str.lower, text))  # per character, as in WordPiece
        pieces = [text.replace(" ", self._how.space)]
        for pattern in self._patterns:
            backwards = -1 if pattern.flags & regex.REVERSE else 1
            parts = {  # most pieces repeat: each is cut once
                piece: [part for part in pattern.split(piece)[::backwards] if part]
                for piece in set(pieces)
            }
            pieces = list(chain.from_iterable(map(parts.__getitem__, pieces)))
        return pieces if self._how.keeps_blanks else [each for each in pieces if not each.isspace()]


class BytePairSpeller:
    """Text to ids; text without a token becomes `unknown`, or is dropped if that is None."""

    def __init__(
        self,
        metadata: Metadata,
        vocabulary: Vocabulary,
        pretokenizer: Pretokenizer,
        unknown: int | None,
    ) -> None:
        """Raises ModelFileError if the merges are not an array of pairs."""
        self._cutter, self._size = PatternCutter(pretokenizer), len(vocabulary.texts)
        self._alphabet: Alphabet = PlainAlphabet(pretokenizer.space)
        byte_names = vocabulary.byte_names()
        if pretokenizer.byte_level:
            self._alphabet, byte_names = ByteAlphabet(), {}
        self._merger = Merger(
            vocabulary.plain_ids(),
            read_merges(metadata),
            byte_names,
            unknown=self._size if unknown is None else unknown,
            ignores_merges=pretokenizer.ignores_merges,
        )
        self._spelled = lru_cache(CACHED_PIECES)(self._spell_piece)

    def spell(self, text: str, after_special: bool) -> list[int]:
        return list(chain.from_iterable(map(self._spelled, self._cutter.cut(text))))

    def decoded(self, text: bytes) -> bytes:
        return self._alphabet.decoded(text)

    def tidy(self, text: str) -> str:
        return text

    def _spell_piece(self, piece: str) -> list[int]:
        ids = self._merger.ids(self._alphabet.written(piece))
        return [token for token in ids if token < self._size]


class DnaSpeller:
    """Text as by byte pairs; DNA, in lower or upper case, as a token for each six bases.

    Others than A, C, G and T give the token <oov>.
    """

    def __init__(self, text: BytePairSpeller, vocabulary: Vocabulary) -> None:
        self._text, self._ids = text, vocabulary.ids
        self._marks = [vocabulary.ids.get(mark) for mark in (b"<dna>", b"</dna>", b"<oov>")]

    def spell(self, text: str, after_special: bool) -> list[int]:
        begin, end, other = self._marks
        if begin is None or end is None or other is None:
            return self._text.spell(text, after_special)
        ids, place = list[int](), 0
        for found in DNA.finditer(text):
            ids += self._text.spell(text[place : found.start()], after_special)
            ids += [begin, *self._bases(found[1], other), *([end] if found[2] else [])]
            place = found.end()
        return ids + self._text.spell(text[place:], after_special)

    def _bases(self, dna: str, other: int) -> Iterator[int]:
        bases = dna.encode().upper()
        for place in range(0, len(bases), BASES):
            six = bases[place : place + BASES].ljust(BASES, PADDING)
            yield self._ids.get(six + DNA_MARK, other)

    def decoded(self, text: bytes) -> bytes:
        return self._text.decoded(text.removesuffix(DNA_MARK))

    def tidy(self, text: str) -> str:
        return self._text.tidy(text)
