"""The vocabulary of a file: texts and types of its tokens."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

import numpy as np

from lepton_cli.engine.text.tokenizer.arrays import DAMAGED, read_numbers, read_texts
from quant.errors import ModelFileError
from quant.gguf import Metadata

TOKENS, TYPES = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
MAX_TOKENS = 400_000  # the largest vocabularies in use have 262,144
BYTE_TEXT = re.compile(rb"<0x([0-9A-Fa-f]{2})>")

END_TEXTS = tuple(
    "<|eot_id|> <|im_end|> <|end|> <|return|> <|call|> <|flush|> <|calls|> <end_of_turn> "
    "<|endoftext|> </s> <|eom_id|> <EOT> _<EOT> [EOT] [EOS] <|end_of_text|> <end_of_utterance> "
    "<eos> <turn|> <|tool_response> <｜end▁of▁sentence｜> [e~[".encode().split()
)
"""Tokens that end an answer in any file, regardless of their type."""

FILL_TEXTS: Mapping[str, Sequence[bytes]] = MappingProxyType(
    {
        "fim_pre": "<|fim_prefix|> <fim-prefix> <fim_prefix> <｜fim▁begin｜> <PRE> ▁<PRE> "
        "<|code_prefix|> <|prefix|>".encode().split(),
        "fim_suf": "<|fim_suffix|> <fim-suffix> <fim_suffix> <｜fim▁hole｜> <SUF> ▁<SUF> "
        "<|code_suffix|> <|suffix|>".encode().split(),
        "fim_mid": "<|fim_middle|> <fim-middle> <fim_middle> <｜fim▁end｜> <MID> ▁<MID> "
        "<|code_middle|> <|middle|>".encode().split(),
        "fim_pad": b"<|fim_pad|> <fim-pad> <fim_pad> <PAD> [PAD]".split(),
        "fim_rep": b"<|fim_repo|> <|repo_name|> <fim-repo> <REPO> <reponame>".split(),
        "fim_sep": (b"<|file_sep|>",),
    }
)
"""Tokens of fill-in-the-middle, which are control tokens if the file does not name others."""

FILL_ENDS = ("fim_pad", "fim_rep", "fim_sep")
"""Those of them that end an answer."""

PRINTED_TEXTS = (b"<|channel|>", b"<|message|>", b"<|start|>", b"<|constrain|>")
"""gpt-oss's marks of reasoning and answer, which are rendered for splitting them."""


class TokenType(IntEnum):
    """The values of `tokenizer.ggml.token_type`."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Every token's text (UTF-8) and type (one byte), by id."""

    texts: Sequence[bytes]
    types: bytes
    ids: dict[bytes, int]

    def of_types(self, *types: TokenType) -> list[int]:
        """The ids of all tokens of these types, in order."""
        chosen: list[int] = np.flatnonzero(np.isin(self._types(), types)).tolist()
        return chosen

    def plain_ids(self) -> dict[bytes, int]:
        """The tokens for plain text: normal ones only, so that text cannot become other tokens."""
        plain = dict(self.ids)
        for token in np.flatnonzero(self._types() != TokenType.NORMAL).tolist():
            del plain[self.texts[token]]
        return plain

    def byte_names(self) -> dict[bytes, int]:
        """The tokens `<0x00>` to `<0xFF>` by name; empty if any is missing, as elsewhere."""
        tokens = self.of_types(TokenType.BYTE)
        names = {b"<0x%02X>" % self.byte_value(token): token for token in tokens}
        return names if len(names) == 256 else {}

    def byte_value(self, token: int) -> int:
        return int(self.texts[token][3:5], 16)

    def find(self, texts: Collection[bytes]) -> set[int]:
        """The ids of the texts that are tokens."""
        return {self.ids[text] for text in texts if text in self.ids}

    def _types(self) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        return np.frombuffer(self.types, np.uint8)


def read_vocabulary(metadata: Metadata) -> Vocabulary:
    """Raises ModelFileError if tokens are missing, not UTF-8, or have the same text."""
    texts = read_texts(metadata, TOKENS, MAX_TOKENS)
    if not texts:
        raise ModelFileError(f"{metadata.path}: the key {TOKENS} holds no tokens", DAMAGED)
    if not all(texts):
        texts = [text or b"[EMPTY_%d]" % token for token, text in enumerate(texts)]
    ids = dict(zip(texts, range(len(texts)), strict=True))
    if len(ids) < len(texts):
        first, text = next(item for item in enumerate(texts) if ids[item[1]] != item[0])
        message = f"{metadata.path}: the key {TOKENS} holds {text!r:.60} twice, "
        raise ModelFileError(f"{message}as tokens {first} and {ids[text]}", DAMAGED)
    return Vocabulary(texts, bytes(_read_types(metadata, texts, ids)), ids)


def _read_types(metadata: Metadata, texts: list[bytes], ids: dict[bytes, int]) -> bytearray:
    """The file's token types, with llama.cpp's corrections; the default is normal."""
    given = read_numbers(metadata, TYPES, len(texts))
    if given is None:
        given = np.full(len(texts), TokenType.NORMAL, np.float64)
    known = (given >= min(TokenType)) & (given <= max(TokenType))
    types = bytearray(np.where(known, given, TokenType.NORMAL).astype(np.uint8))
    for token in np.flatnonzero(given == TokenType.BYTE):
        if not BYTE_TEXT.fullmatch(texts[token]):
            types[token] = TokenType.NORMAL
    corrected = dict.fromkeys(END_TEXTS, TokenType.CONTROL)
    for name, fill_texts in FILL_TEXTS.items():
        if f"tokenizer.ggml.{name}_token_id" not in metadata:
            corrected |= dict.fromkeys(fill_texts, TokenType.CONTROL)
    corrected |= dict.fromkeys(PRINTED_TEXTS, TokenType.USER_DEFINED)
    corrected |= continuing_texts(ids)
    for text in corrected.keys() & ids.keys():
        types[ids[text]] = corrected[text]
    return types


def continuing_texts(ids: Collection[bytes]) -> dict[bytes, TokenType]:
    """Texts that usually end an answer, but not in this family of models, and their types."""
    texts = {}
    calls = b"<|call|>" in ids or b"<|calls|>" in ids
    if calls and (b"<|return|>" in ids or b"<|flush|>" in ids):  # gpt-oss, Solar
        texts[b"<|end|>"] = TokenType.USER_DEFINED
    if b"<|tool_response>" in ids or b"<|plamo:eos|>" in ids:  # Gemma 4, PLaMo
        texts[b"</s>"] = TokenType.NORMAL
    return texts
