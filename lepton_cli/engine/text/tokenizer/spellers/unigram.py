"""Unigram (`t5`): characters are mapped, then the tokens with the best sum of scores are taken."""

import numpy as np

from lepton_cli.engine.text.tokenizer.arrays import DAMAGED, decode_texts, read_numbers
from lepton_cli.engine.text.tokenizer.spellers.best_scores import BestSum
from lepton_cli.engine.text.tokenizer.spellers.character_map import read_character_map
from lepton_cli.engine.text.tokenizer.spellers.sentence_pieces import ADDS_SPACE, SCORES
from lepton_cli.engine.text.tokenizer.vocabulary import Vocabulary
from quant.errors import ModelFileError
from quant.gguf import Metadata

MERGES_SPACES = "tokenizer.ggml.remove_extra_whitespaces"
SPACE = "\u2581"


class UnigramSpeller:
    """Text to ids; a run of characters without tokens becomes one unknown token, if there is one.

    Of equal sums the one whose last token is the longest is taken.
    """

    def __init__(self, metadata: Metadata, vocabulary: Vocabulary, unknown: int | None) -> None:
        """Raises ModelFileError for scores that are no numbers, and a broken character map."""
        plain = vocabulary.plain_ids()
        texts, tokens = decode_texts(plain), list(plain.values())
        scores = _read_scores(metadata, len(vocabulary.texts))[tokens].tolist()
        self._ids = dict(zip(texts, tokens, strict=True))
        self._best = BestSum(dict(zip(texts, scores, strict=True)), min(scores, default=0.0))
        self._unknown = [] if unknown is None else [unknown]
        self._characters = read_character_map(metadata)
        self._adds_space = metadata.boolean(ADDS_SPACE, False)
        self._merges_spaces = metadata.boolean(MERGES_SPACES, False)

    def spell(self, text: str, after_special: bool) -> list[int]:
        ids = list[int]()
        for piece, is_token in self._best.cut(self._normalized(text)):
            ids += [self._ids[piece]] if is_token else self._unknown
        return ids

    def decoded(self, text: bytes) -> bytes:
        return text.replace(SPACE.encode(), b" ")

    def tidy(self, text: str) -> str:
        return text.removeprefix(" ") if self._adds_space else text

    def _normalized(self, text: str) -> str:
        """The text as the vocabulary writes it; spaces go before words.

        With merged spaces each word has one, and none is left at the end.
        """
        mapped = self._characters.mapped(text) if self._characters else text
        if self._merges_spaces:
            return "".join(SPACE + word for word in mapped.split(" ") if word)
        words = mapped.lstrip(" ")
        if words and self._adds_space:
            mapped = mapped[: len(mapped) - len(words)] + " " + words
        return mapped.replace(" ", SPACE)


def _read_scores(metadata: Metadata, count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    scores = read_numbers(metadata, SCORES, count)
    if scores is None:
        return np.zeros(count)
    if not np.isfinite(scores).all():
        message = f"{metadata.path}: the key {SCORES} holds a score that is not finite"
        raise ModelFileError(message, DAMAGED)
    return scores
