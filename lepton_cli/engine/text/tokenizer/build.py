"""Builds a tokenizer from a file's metadata."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from lepton_cli.engine.text.tokenizer.pretokenizers import PRETOKENIZERS, Pretokenizer
from lepton_cli.engine.text.tokenizer.special import Defaults, SpecialTokens, read_special_tokens
from lepton_cli.engine.text.tokenizer.spellers.best_scores import BestScoreSpeller
from lepton_cli.engine.text.tokenizer.spellers.byte_pairs import BytePairSpeller, DnaSpeller
from lepton_cli.engine.text.tokenizer.spellers.longest_matches import LongestMatchSpeller
from lepton_cli.engine.text.tokenizer.spellers.merging import MERGES
from lepton_cli.engine.text.tokenizer.spellers.sentence_pieces import SCORES, SentencePieceSpeller
from lepton_cli.engine.text.tokenizer.spellers.unigram import UnigramSpeller
from lepton_cli.engine.text.tokenizer.spellers.word_pieces import LOWERCASE, WordPieceSpeller
from lepton_cli.engine.text.tokenizer.splitting import find_special_texts
from lepton_cli.engine.text.tokenizer.tokenizer import Speller, Tokenizer
from lepton_cli.engine.text.tokenizer.vocabulary import (
    TYPES,
    TokenType,
    Vocabulary,
    read_vocabulary,
)
from quant.errors import ModelFileError
from quant.gguf import Metadata

MODEL, PRE = "tokenizer.ggml.model", "tokenizer.ggml.pre"

Parts = tuple[SpecialTokens, Speller]


def build_tokenizer(metadata: Metadata) -> Tokenizer:
    """Raises ModelFileError for a missing, unsupported or damaged tokenizer."""
    build = _builder(metadata)
    vocabulary = read_vocabulary(metadata)
    special, speller = build(metadata, vocabulary)
    texts = find_special_texts(metadata, vocabulary)
    return Tokenizer(vocabulary, special, texts, speller, [*_notes(metadata), *special.notes])


def _builder(metadata: Metadata) -> Callable[[Metadata, Vocabulary], Parts]:
    model = metadata.string(MODEL, "none")
    if model in ("none", "no_vocab"):
        message = f"{metadata.path}: the file has no tokenizer (the key {MODEL} is {model!r})"
        raise ModelFileError(message, "give token ids, or take a file that was made with one")
    if model not in MODELS:
        known = ", ".join(MODELS)
        message = f"{metadata.path}: the key {MODEL} is {model!r:.60}, which Lepton cannot read"
        raise ModelFileError(message, f"it reads {known}")
    return MODELS[model]


def _llama(metadata: Metadata, vocabulary: Vocabulary) -> Parts:
    defaults = Defaults(bos=1, eos=2, unknown=0, adds_bos=True)
    special = read_special_tokens(metadata, vocabulary, defaults)
    return special, SentencePieceSpeller(metadata, vocabulary, special.unknown)


def _gpt2(metadata: Metadata, vocabulary: Vocabulary) -> tuple[SpecialTokens, BytePairSpeller]:
    pre = _pretokenizer(metadata)
    special = _gpt2_special(metadata, vocabulary, pre)
    unknown = None if pre.byte_level else special.unknown
    return special, BytePairSpeller(metadata, vocabulary, pre, unknown)


def _gpt2_special(metadata: Metadata, vocabulary: Vocabulary, pre: Pretokenizer) -> SpecialTokens:
    falcon = vocabulary.types[11:12] == bytes(
        [TokenType.CONTROL]
    )  # in other files token 11 may be a comma
    end = 11 if falcon else None
    bos = end if pre.has_bos else None
    defaults = Defaults(bos, eos=end, adds_bos=pre.adds_bos, adds_sep=pre.adds_sep)
    return read_special_tokens(metadata, vocabulary, defaults)


def _gemma4(metadata: Metadata, vocabulary: Vocabulary) -> Parts:
    defaults = Defaults(bos=2, eos=1, unknown=3, adds_bos="always")
    special = read_special_tokens(metadata, vocabulary, defaults)
    pre = PRETOKENIZERS["gemma4"]
    return special, BytePairSpeller(metadata, vocabulary, pre, special.unknown)


def _whitespace(metadata: Metadata, vocabulary: Vocabulary) -> Parts:
    lowercase = metadata.boolean(LOWERCASE, False)
    pre = replace(PRETOKENIZERS["whitespace"], keeps_blanks=False, lowercase=lowercase)
    special = _gpt2_special(metadata, vocabulary, pre)
    return special, BytePairSpeller(metadata, vocabulary, pre, None)


def _hybriddna(metadata: Metadata, vocabulary: Vocabulary) -> Parts:
    special, text = _gpt2(metadata, vocabulary)
    return special, DnaSpeller(text, vocabulary)


def _bert(metadata: Metadata, vocabulary: Vocabulary) -> Parts:
    defaults = Defaults(
        bos=101,
        eos=102,
        unknown=100,
        adds_bos="always",
        adds_eos="always",
        bos_keys=("cls_token_id", "bos_token_id"),
        eos_keys=("seperator_token_id", "eos_token_id"),
    )
    special = read_special_tokens(metadata, vocabulary, defaults)
    return special, WordPieceSpeller(metadata, vocabulary, special.unknown)


def _t5(metadata: Metadata, vocabulary: Vocabulary) -> Parts:
    defaults = Defaults(bos=None, eos=1, unknown=2, adds_eos=True)
    special = read_special_tokens(metadata, vocabulary, defaults)
    return special, UnigramSpeller(metadata, vocabulary, special.unknown)


def _rwkv(metadata: Metadata, vocabulary: Vocabulary) -> Parts:
    special = read_special_tokens(metadata, vocabulary, Defaults(bos=None, eos=None))
    return special, LongestMatchSpeller(vocabulary, special.unknown)


def _plamo2(metadata: Metadata, vocabulary: Vocabulary) -> Parts:
    special = read_special_tokens(metadata, vocabulary, Defaults(bos=1, eos=2, unknown=0))
    return special, BestScoreSpeller(metadata, vocabulary, special.unknown)


MODELS: Mapping[str, Callable[[Metadata, Vocabulary], Parts]] = MappingProxyType(
    {
        "llama": _llama,
        "gpt2": _gpt2,
        "gemma4": _gemma4,
        "whitespace": _whitespace,
        "hybriddna": _hybriddna,
        "bert": _bert,
        "t5": _t5,
        "rwkv": _rwkv,
        "plamo2": _plamo2,
    }
)


def _pretokenizer(metadata: Metadata) -> Pretokenizer:
    return PRETOKENIZERS.get(metadata.string(PRE, "default"), PRETOKENIZERS["default"])


def _notes(metadata: Metadata) -> list[str]:
    """Notes on missing metadata, and what is assumed instead."""
    notes = []
    model, pre = metadata.string(MODEL), metadata.string(PRE, "")
    if TYPES not in metadata:
        notes.append(f"no {TYPES}: every token counts as text")
    if model in ("llama", "t5", "plamo2") and SCORES not in metadata:
        notes.append(f"no {SCORES}: text is split into tokens without them, and answers may suffer")
    if model in ("gpt2", "gemma4", "whitespace", "hybriddna") and MERGES not in metadata:
        notes.append(f"no {MERGES}: text is split into single characters, and answers may suffer")
    if model in ("gpt2", "hybriddna") and pre not in PRETOKENIZERS:
        named = f"{PRE} is {pre!r:.60}, which is unknown" if pre else f"no {PRE}"
        notes.append(f"{named}: text is split as by 'default', and answers may suffer")
    return notes
