"""PLaMo 2's spelling: of all ways to cut a text into tokens, that with the best sum of scores."""

import math
from collections import defaultdict

import numpy as np

from lepton_cli.engine.text.tokenizer.arrays import decode_texts, read_numbers
from lepton_cli.engine.text.tokenizer.sentence_pieces import SCORES
from lepton_cli.engine.text.tokenizer.vocabulary import Vocabulary
from quant.gguf import Metadata

SCALE = 10_000  # scores are compared as whole numbers
UNKNOWN_COST = 10_000_000  # of a character that is spelled by its bytes
BYTE_ORDER_MARK = "\ufeff"


class BestScoreSpeller:
    """Text to ids; characters that no token covers become tokens of their bytes, if there are any.

    Of equal sums the one whose first token is the longest is taken.
    """

    def __init__(self, metadata: Metadata, vocabulary: Vocabulary, unknown: int | None) -> None:
        """Raises ModelFileError if there is not one score per token."""
        scores = read_numbers(metadata, SCORES, len(vocabulary.texts))
        if scores is None:
            scores = np.zeros(len(vocabulary.texts))
        plain = vocabulary.plain_ids()
        texts = decode_texts(plain)
        self._ids = dict(zip(texts, plain.values(), strict=True))
        self._costs = {text: _cost(float(scores[token])) for text, token in self._ids.items()}
        lengths = defaultdict[str, set[int]](set)
        for text in texts:
            lengths[text[:2]].add(len(text))
        self._lengths = {start: sorted(of, reverse=True) for start, of in lengths.items()}
        names = vocabulary.byte_names()
        self._bytes = [names[b"<0x%02X>" % byte] for byte in range(256)] if names else []
        self._unknown = [] if unknown is None else [unknown]

    def spell(self, text: str, after_special: bool) -> list[int]:
        text = text.removeprefix(BYTE_ORDER_MARK)
        ids, at = list[int](), 0
        for length in self._best_lengths(text):
            if length:
                ids.append(self._ids[text[at : at + length]])
            else:
                ids += self._spell_bytes(text[at])
            at += length or 1
        return ids

    def decoded(self, text: bytes) -> bytes:
        return text

    def tidy(self, text: str) -> str:
        return text

    def _best_lengths(self, text: str) -> list[int]:
        """The lengths of the best sum's tokens; 0 stands for a character without a token."""
        costs, best = [0] * (len(text) + 1), [0] * len(text)  # of the text from each place on
        for at in range(len(text) - 1, -1, -1):
            costs[at] = UNKNOWN_COST + costs[at + 1]
            for length in (*self._lengths.get(text[at : at + 2], ()), 1):
                piece = text[at : at + length]
                if len(piece) == length and piece in self._costs:
                    cost = self._costs[piece] + costs[at + length]
                    if cost < costs[at] or (cost == costs[at] and not best[at]):
                        costs[at], best[at] = cost, length
        at, chosen = 0, list[int]()
        while at < len(text):
            chosen.append(best[at])
            at += best[at] or 1
        return chosen

    def _spell_bytes(self, character: str) -> list[int]:
        if not self._bytes:
            return self._unknown
        return [self._bytes[byte] for byte in character.encode()]


def _cost(score: float) -> int:
    """Halves are rounded away from 0, as C does."""
    if not math.isfinite(score):
        return UNKNOWN_COST
    return -int(math.copysign(math.floor(abs(score) * SCALE + 0.5), score))
