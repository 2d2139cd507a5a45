r"""The pre-tokenizers of byte-pair vocabularies: the values of `tokenizer.ggml.pre`.

Patterns are applied one after the other, each within the pieces of the previous one; matches and
the text between become pieces. They are for the `regex` library, with exact letter classes as in
the models' own files (llama.cpp approximates them), and with `(?r)` (search from the end) where
digits are grouped in threes from the right.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Pretokenizer:
    """The patterns and defaults of a pre-tokenizer.

    With `ignores_merges` a piece that is a token is used as a whole, regardless of merges. Without
    `byte_level` tokens are plain UTF-8, and `space` represents a space. Without `keeps_blanks`
    pieces of blanks alone are left out. `adds_sep`: between texts.
    """

    patterns: tuple[str, ...]
    ignores_merges: bool = False
    adds_bos: bool = False
    adds_sep: bool = False
    has_bos: bool = True
    byte_level: bool = True
    space: str = " "
    keeps_blanks: bool = True
    lowercase: bool = False


def _either(*alternatives: str) -> str:
    return "|".join(alternatives)


# Building blocks: words, numbers, symbols, spaces
CONTRACTION = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
LEAD = r"[^\r\n\p{L}\p{N}]?"
WORD = LEAD + r"\p{L}+"
SYMBOLS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
SYMBOLS_SLASH = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
SPACES = r"\s+(?!\S)|\s+"
BLANK = r"\s*[\r\n]+|" + SPACES
MARKED_WORD = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
)
UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"


def _cased(ending: str = "", upper: str = UPPER, lower: str = LOWER) -> str:
    """A word of upper-case and then lower-case letters, at least one letter."""
    return _either(f"{LEAD}{upper}*{lower}+{ending}", f"{LEAD}{upper}+{lower}*{ending}")


# Runs of characters
NUMBER = r"\p{N}{1,3}"
LINES = r"[^\n]+|[\n]+"
NO_PUNCTUATION = r" ?[^(\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"
HAN_KANA = r"[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
HAN_HANGUL = r"[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
HANGUL = r"[\uac00-\ud7a3\u3131-\u318e]+"
BOPOMOFO = r"[\u3105-\u312f]+"
CJK_MARKS = (
    r"[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-\u303f\ufe30-\ufe4f]+"
)
UNSPACED_SCRIPTS = (  # Han, kana, radicals; Thai, Lao, Khmer, Burmese; Hangul
    r"[\u4e00-\u9fff\u3400-\u4dbf\u8c48-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf"
    r"\u0e40-\u0e7f\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff"
    r"\uac00-\ud7af\u1100-\u11ff]+"
)
CASED_SCRIPTS = (
    r"(?=\s?\p{L})\s?["  # the look-ahead says nothing new, but fails sooner than the class
    r"A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af"
    r"\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1"
    r"\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd"
    r"\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d"
    r"\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4"
    r"\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec"
    r"\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128"
    r"\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b"
    r"\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787"
    r"\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a"
    r"\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2"
    r"\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943"
    r"]+"
)
MARKS = r"\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"

# Whole patterns, named after a model that uses them
GPT2 = _either(
    r"'s|'t|'re|'ve|'m|'ll|'d", r" ?\p{L}+", r" ?\p{N}+", r" ?[^\s\p{L}\p{N}]+", r"\s+(?!\S)"
)
LLAMA3 = _either(CONTRACTION, WORD, NUMBER, SYMBOLS, BLANK)
QWEN2 = _either(CONTRACTION, WORD, r"\p{N}", SYMBOLS, BLANK)
QWEN35 = _either(
    *(CONTRACTION, LEAD + r"[\p{L}\p{M}]+", r"\p{N}"),
    *(r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*", BLANK),
)
JAIS2 = _either(
    *(CONTRACTION, WORD, NUMBER, SYMBOLS, r"\s*[\r\n]+"),
    *(rf"\s{{{count}}}(?!\S)" for count in (512, 256, 128, 64, 32, 16, 8, 4)),
    r"\s{1,2}(?!\S)|\s{1}",
)
O200K = _either(_cased(CONTRACTION + "?"), NUMBER, SYMBOLS_SLASH, BLANK)
TEKKEN = _either(_cased(), r"\p{N}", SYMBOLS_SLASH, BLANK)
YOUTU = _either(_cased(CONTRACTION + "?"), r"\p{N}", SYMBOLS_SLASH, BLANK)
KIMI_CASED = _cased(CONTRACTION + "?", rf"(?:(?!\p{{Han}}){UPPER})", rf"(?:(?!\p{{Han}}){LOWER})")
KIMI = _either(r"\p{Han}+", KIMI_CASED, NUMBER, SYMBOLS, BLANK)
DEEPSEEK3 = _either(MARKED_WORD, r" ?[\p{P}\p{S}]+[\r\n]*", BLANK)
SPARK = _either(MARKED_WORD, r" ?[\p{P}\p{S}]+", r"[\r\n]", SPACES)
BAILING_CONTRACTION = "'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])"
BAILING = _either(BAILING_CONTRACTION, WORD, r"\p{N}", SYMBOLS, r"\s*[\r\n]", SPACES)
SEED = _either(CONTRACTION, WORD, r"\p{N}", r" ?[^\s\p{L}\p{N}]+", BLANK)
EXAONE_MOE = _either(
    *(CONTRACTION, LEAD + r"(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+", r"\p{N}"),
    *(r" ?[^\s\p{L}\p{N}]+[\r\n/]?", r"\s*[\r\n]", SPACES),
)
MINICPM5 = _either(CONTRACTION, WORD, r"\p{N}+", SYMBOLS, BLANK)
DEEPSEEK_LLM = (
    *(r"[\r\n]", CASED_SCRIPTS, MARKS),
    r"(?<!\s)\s+$",  # the look-behind avoids a search from every space of a long run
    *(HAN_HANGUL, r"\p{N}+"),
)
DEEPSEEK_CODER = (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", HAN_HANGUL, r"\p{N}")
CHAMELEON = (
    *("<sentinel:[0-9]+>", "(?:IMGIMG)(?:(?:A|B|C|D|E|F|G|H|I){1,4})Z", r"[\t\n]|    |  "),
    *(r"\p{N}", r"[\p{P}!-/:-@\[-`{-~]", GPT2),
)
FALCON = (r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]")
DEFAULT = (r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]")

_TABLE = {
    "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano": Pretokenizer(
        (LLAMA3,), ignores_merges=True, adds_bos=True
    ),
    "dbrx smaug-bpe": Pretokenizer((LLAMA3,)),
    "chatglm-bpe": Pretokenizer((LLAMA3,), has_bos=False),
    "glm4 glm5": Pretokenizer((LLAMA3,), ignores_merges=True, has_bos=False),
    "jais-2": Pretokenizer((JAIS2,)),
    "qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2": Pretokenizer(
        (QWEN2,)
    ),
    "qwen35": Pretokenizer((QWEN35,)),
    "gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert "
    "exaone4 mpt olmo jais trillion granite-docling": Pretokenizer((GPT2,)),
    "jina-v1-en jina-v2-code roberta-bpe": Pretokenizer((GPT2,), adds_sep=True),
    "starcoder refact codeshell exaone minerva-7b mellum2 command-r smollm": Pretokenizer(
        (r"\p{N}", GPT2)
    ),
    "falcon": Pretokenizer(FALCON),
    "deepseek-llm": Pretokenizer(DEEPSEEK_LLM),
    "deepseek-coder": Pretokenizer(DEEPSEEK_CODER),
    "deepseek-v3 hunyuan-dense joyai-llm hy_v4": Pretokenizer((NUMBER, HAN_KANA, DEEPSEEK3)),
    "spark2_5": Pretokenizer((NUMBER, HAN_KANA, SPARK, r"\p{N}")),
    "youtu": Pretokenizer(
        (_either(HANGUL, CJK_MARKS, BOPOMOFO, HAN_KANA), YOUTU), ignores_merges=True
    ),
    "tekken": Pretokenizer((TEKKEN,), ignores_merges=True, adds_bos=True),
    "gpt-4o llama4 kanana2 talkie minimax-m2": Pretokenizer((O200K,)),
    "granite-embed-multi-97m": Pretokenizer((O200K,), ignores_merges=True),
    "tiny_aya cohere2moe": Pretokenizer((r"(?r)\d{1,3}", O200K)),
    "kimi-k2": Pretokenizer((KIMI,)),
    "superbpe": Pretokenizer((r"\p{N}+", r"(?r)\d{3}")),
    "bailingmoe bailingmoe2 llada-moe": Pretokenizer((BAILING,)),
    "seed-coder": Pretokenizer((SEED,)),
    "ufakzeka": Pretokenizer((_either(WORD, r"\p{N}", SYMBOLS, BLANK),)),
    "afmoe": Pretokenizer((r"(?r)\p{N}{1,3}", UNSPACED_SCRIPTS, DEEPSEEK3)),
    "laguna": Pretokenizer((LINES, QWEN2)),
    "exaone-moe": Pretokenizer((EXAONE_MOE,)),
    "gemma4": Pretokenizer((LINES,), byte_level=False, space="\u2581"),
    "granite-embed-multi-311m sarvam-moe": Pretokenizer((LINES,), byte_level=False, space="\u2581"),
    "minicpm5": Pretokenizer((NUMBER, MINICPM5), ignores_merges=True),
    "whitespace": Pretokenizer((r"\S+",), byte_level=False),
    "poro-chat bloom gpt3-finnish": Pretokenizer((NO_PUNCTUATION,)),
    "viking": Pretokenizer((NO_PUNCTUATION, r"\p{N}")),
    "chameleon": Pretokenizer(CHAMELEON, adds_bos=True),
    "default": Pretokenizer(DEFAULT),
}

PRETOKENIZERS: Mapping[str, Pretokenizer] = MappingProxyType(
    {name: pretokenizer for names, pretokenizer in _TABLE.items() for name in names.split()}
)
