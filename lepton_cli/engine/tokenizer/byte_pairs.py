"""Byte-pair encoding (`gpt2`, `gemma4`): patterns cut pieces, merges come in the file's order."""

import regex

from lepton_cli.engine.tokenizer.alphabets import Alphabet, ByteAlphabet, CharacterAlphabet
from lepton_cli.engine.tokenizer.arrays import DAMAGED, read_texts
from lepton_cli.engine.tokenizer.merging import Merges, MergeSpeller
from lepton_cli.engine.tokenizer.pretokenizers import Pretokenizer
from lepton_cli.engine.tokenizer.vocabulary import Vocabulary
from quant.errors import ModelFileError
from quant.gguf import Metadata

MERGES = "tokenizer.ggml.merges"


class PatternCutter:
    """Cuts by each of a list of patterns in turn; matches and what lies between become pieces."""

    def __init__(self, pretokenizer: Pretokenizer) -> None:
        self._space = pretokenizer.space
        self._patterns = [regex.compile(f"({pattern})") for pattern in pretokenizer.patterns]

    def cut(self, text: str, after_special: bool) -> list[str]:
        pieces = [text.replace(" ", self._space)]
        for pattern in self._patterns:
            backwards = -1 if pattern.flags & regex.REVERSE else 1
            pieces = [
                part for piece in pieces for part in pattern.split(piece)[::backwards] if part
            ]
        return pieces

    def tidy(self, text: str) -> str:
        return text


def byte_pair_speller(
    metadata: Metadata, vocabulary: Vocabulary, pretokenizer: Pretokenizer, unknown: int | None
) -> MergeSpeller:
    """Raises ModelFileError where the merges are no array of pairs."""
    alphabet: Alphabet = CharacterAlphabet(pretokenizer.space)
    if pretokenizer.byte_level:
        alphabet = ByteAlphabet()
    merges = Merges(_ranks(metadata), b" ", pretokenizer.ignores_merges)
    cutter = PatternCutter(pretokenizer)
    return MergeSpeller(vocabulary, unknown, cutter, alphabet, merges)


def _ranks(metadata: Metadata) -> dict[bytes, int]:
    """Ranks under `left right`, as the file writes its merges; the first of equals counts."""
    if MERGES not in metadata:
        return {}
    merges = read_texts(metadata, MERGES)
    if any(b" " not in pair for pair in merges):
        pair = next(pair for pair in merges if b" " not in pair)
        message = f"{metadata.path}: the key {MERGES} holds {pair!r:.60}, which is no pair"
        raise ModelFileError(message, DAMAGED)
    return dict(zip(reversed(merges), range(len(merges) - 1, -1, -1), strict=True))
