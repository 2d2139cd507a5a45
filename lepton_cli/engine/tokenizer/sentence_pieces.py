"""SentencePiece (`llama`): the pair of the best-scored token is merged first; spaces are U+2581."""

import re

import numpy as np

from lepton_cli.engine.tokenizer.alphabets import CharacterAlphabet
from lepton_cli.engine.tokenizer.arrays import DAMAGED, read_numbers
from lepton_cli.engine.tokenizer.merging import Merges, MergeSpeller
from lepton_cli.engine.tokenizer.vocabulary import Vocabulary
from quant.errors import ModelFileError
from quant.gguf import Metadata

SCORES, ADDS_SPACE = "tokenizer.ggml.scores", "tokenizer.ggml.add_space_prefix"
SPACE = "\u2581"


class WordCutter:
    """Cuts before spaces, which changes nothing but the time: no token reaches across such a cut.

    Where a token has a space after another character, text is not cut after that character.
    """

    def __init__(self, vocabulary: Vocabulary, adds_space: bool) -> None:
        space = SPACE.encode()
        inner = [text.decode() for text in vocabulary.texts if text.find(space, 1) > 0]
        joined = {text[i - 1] for text in inner for i in range(1, len(text)) if text[i] == SPACE}
        kept = re.escape("".join(sorted(joined | {SPACE})))
        self._boundary = re.compile(f"(?<![{kept}])(?={SPACE})")
        self._adds_space = adds_space

    def cut(self, text: str, after_special: bool) -> list[str]:
        if self._adds_space and after_special:
            text = " " + text
        return self._boundary.split(text.replace(" ", SPACE))

    def tidy(self, text: str) -> str:
        return text.removeprefix(" ") if self._adds_space else text


def sentence_piece_speller(
    metadata: Metadata, vocabulary: Vocabulary, unknown: int | None
) -> MergeSpeller:
    """Raises ModelFileError where the scores are not one number a token."""
    cutter = WordCutter(vocabulary, metadata.boolean(ADDS_SPACE, True))
    costs = Merges(_costs(metadata, vocabulary))
    return MergeSpeller(vocabulary, unknown, cutter, CharacterAlphabet(SPACE), costs)


def _costs(metadata: Metadata, vocabulary: Vocabulary) -> dict[bytes, float]:
    """Minus the score of every token that a pair may become; all 0 where the file has no scores."""
    count = len(vocabulary.texts)
    scores = read_numbers(metadata, SCORES, count)
    if scores is None:
        scores = np.zeros(count)
    if np.isnan(scores).any():
        raise ModelFileError(f"{metadata.path}: the key {SCORES} holds a NaN", DAMAGED)
    costs = (-scores).tolist()
    return {text: costs[token] for text, token in vocabulary.plain_ids().items()}
