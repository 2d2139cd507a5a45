"""WordPiece (`bert`): words, each split from the left into the longest possible pieces."""

import re
import unicodedata
from functools import lru_cache
from itertools import chain

import regex

from lepton_cli.engine.text.tokenizer.arrays import decode_texts
from lepton_cli.engine.text.tokenizer.spellers.longest_matches import LongestMatch
from lepton_cli.engine.text.tokenizer.vocabulary import Vocabulary
from quant.gguf import Metadata

LOWERCASE = "tokenizer.ggml.normalizer.lowercase"
STRIP_ACCENTS = "tokenizer.ggml.normalizer.strip_accents"
SPACE = "\u2581"  # begins a word
CACHED_WORDS = 1 << 16

IGNORED = r"[\0\ufffd]|(?!\s)[\p{Cc}\p{Cf}\p{Co}]"
ACCENTS = r"\p{Mn}"
ALONE = (  # single-character words: punctuation, ASCII symbols, ideographs
    r"\p{P}$+<=>\^`|~\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b73f"
    r"\U0002b740-\U0002b81f\U0002b920-\U0002ceaf\uf900-\ufaff\U0002f800-\U0002fa1f"
)
WORDS = rf"[{ALONE}]|[^\s{ALONE}]+"


class WordPieceSpeller:
    """Text to ids; a word that cannot be split completely is unknown as a whole."""

    def __init__(self, metadata: Metadata, vocabulary: Vocabulary, unknown: int | None) -> None:
        plain = vocabulary.plain_ids()
        self._ids = dict(zip(decode_texts(plain), plain.values(), strict=True))
        self._longest = LongestMatch(self._ids)
        self._unknown = [] if unknown is None else [unknown]
        self._lowercase = metadata.boolean(LOWERCASE, True)
        self._strips_accents = metadata.boolean(STRIP_ACCENTS, self._lowercase)
        self._spelled = lru_cache(CACHED_WORDS)(self._spell_word)

    def spell(self, text: str, after_special: bool) -> list[int]:
        return list(chain.from_iterable(map(self._spelled, self._words(text))))

    def decoded(self, text: bytes) -> bytes:
        return text.replace(SPACE.encode(), b" ")

    def tidy(self, text: str) -> str:
        """The text without added spaces before punctuation and inside contractions."""
        text = re.sub(" (?=[?!.,])", "", text.removeprefix(" ")).replace(" ' ", "'")
        return re.sub(" (?='(?:s|m|re|ve))", "", text)

    def _words(self, text: str) -> list[str]:
        if self._strips_accents:
            text = regex.sub(ACCENTS, "", unicodedata.normalize("NFD", text))
        if self._lowercase:
            text = "".join(map(str.lower, text))  # per character: lower() depends on neighbours
        words: list[str] = regex.findall(WORDS, regex.sub(IGNORED, "", text))
        return words

    def _spell_word(self, word: str) -> list[int]:
        # `tokenizers` finds the same pieces, but takes quadratic time: 8 seconds for a word of
        # 12,000 letters (or its limit makes long words unknown).
        left, place, ids = SPACE + word, 0, list[int]()
        while place < len(left):
            piece = self._longest.at(left, place)
            if piece is None:
                return self._unknown
            ids.append(self._ids[piece])
            place += len(piece)
        return ids
