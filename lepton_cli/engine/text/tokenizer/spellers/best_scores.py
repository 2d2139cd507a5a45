"""Of all ways to cut a text into tokens, that with the best sum of scores: PLaMo 2's spelling."""

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

import numpy as np
from tokenizers.models import Unigram

from lepton_cli.engine.text.tokenizer.arrays import decode_texts, read_numbers
from lepton_cli.engine.text.tokenizer.spellers.sentence_pieces import SCORES
from lepton_cli.engine.text.tokenizer.vocabulary import Vocabulary
from quant.gguf import Metadata

SCALE = 10_000  # scores are compared as whole numbers
UNKNOWN_SCORE = -10_000_000.0  # of a character that is spelled by its bytes
LOWEST = UNKNOWN_SCORE + 10  # the library counts 10 less than the lowest for those
BYTE_ORDER_MARK = "\ufeff"
UNKNOWN = ""  # no text can spell it
MANY = 1 << 19  # spans to look up, from which the model of all tokens is cheaper


class BestSum:
    """Cuts texts by the best sum, from the left; of equal ones the last token is the longest.

    The library's model of all tokens takes up to half a second and 300 MB, so it is for long texts;
    a short one gets a model of the tokens that occur in it.
    """

    def __init__(self, scores: Mapping[str, float], lowest: float) -> None:
        """A character without a token counts as `lowest - 10`; `lowest`: at most all scores."""
        self._scores, self._lowest = scores, lowest
        self._longest = max(map(len, scores), default=0)
        self._tried = 0

    def cut(self, text: str) -> Iterator[tuple[str, bool]]:
        """The pieces, and which are tokens: others are runs of characters without tokens."""
        self._tried += len(text) * self._longest
        model = self._whole if self._tried > MANY else self._model(self._occurring(text))
        for token in model.tokenize(text):
            yield token.value, token.id != 0

    def _occurring(self, text: str) -> set[str]:
        spans = (
            (start, start + n) for start in range(len(text)) for n in range(1, self._longest + 1)
        )
        return {piece for start, end in spans if (piece := text[start:end]) in self._scores}

    @cached_property
    def _whole(self) -> Unigram:
        return self._model(self._scores)

    def _model(self, tokens: Iterable[str]) -> Unigram:
        rated = [(UNKNOWN, self._lowest), *((token, self._scores[token]) for token in tokens)]
        return Unigram(rated, 0, byte_fallback=False)


class BestScoreSpeller:
    """Text to ids; characters that no token covers become tokens of their bytes, if there are any.

    Of equal sums the one whose first token is the longest is taken: PLaMo 2 goes from the right,
    so texts and tokens are reversed here.
    """

    def __init__(self, metadata: Metadata, vocabulary: Vocabulary, unknown: int | None) -> None:
        """Raises ModelFileError if there is not one score per token."""
        plain = vocabulary.plain_ids()
        numbers = read_numbers(metadata, SCORES, len(vocabulary.texts))
        scores = np.zeros(len(vocabulary.texts)) if numbers is None else numbers
        self._ids = {text[::-1]: plain[text.encode()] for text in decode_texts(plain)}
        rated = {text: _score(float(scores[token])) for text, token in self._ids.items()}
        # what is rated below an unknown character is never chosen for one
        rated = {text: score for text, score in rated.items() if score > LOWEST}
        self._best = BestSum(rated, LOWEST)
        names = vocabulary.byte_names()
        self._bytes = [names[b"<0x%02X>" % byte] for byte in range(256)] if names else []
        self._unknown = [] if unknown is None else [unknown]

    def spell(self, text: str, after_special: bool) -> list[int]:
        ids = list[int]()
        for piece, is_token in self._best.cut(text.removeprefix(BYTE_ORDER_MARK)[::-1]):
            ids += [self._ids[piece]] if is_token else self._spell_bytes(piece[::-1])[::-1]
        return ids[::-1]

    def decoded(self, text: bytes) -> bytes:
        return text

    def tidy(self, text: str) -> str:
        return text

    def _spell_bytes(self, characters: str) -> list[int]:
        if not self._bytes:
            return self._unknown * len(characters)
        return [self._bytes[byte] for byte in characters.encode()]


def _score(score: float) -> float:
    """A whole number: halves are rounded away from 0, as C does."""
    if not math.isfinite(score):
        return UNKNOWN_SCORE
    return math.copysign(math.floor(abs(score) * SCALE + 0.5), score)
