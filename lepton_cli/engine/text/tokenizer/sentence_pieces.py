"""SentencePiece (`llama`): the library itself, with a model file written from the metadata."""

import struct

import numpy as np
from sentencepiece import SentencePieceProcessor

from lepton_cli.engine.text.tokenizer.arrays import DAMAGED, read_numbers
from lepton_cli.engine.text.tokenizer.vocabulary import TokenType, Vocabulary
from quant.errors import ModelFileError
from quant.gguf import Metadata

SCORES, ADDS_SPACE = "tokenizer.ggml.scores", "tokenizer.ggml.add_space_prefix"
SPACE = "\u2581".encode()
UNKNOWN = b" "  # the library's own unknown piece: text holds none, spaces become U+2581
LONGEST = 7999  # bytes in a piece

# sentencepiece_model.proto: the numbers of a model's fields, and of the fields inside them
PIECE, TRAINER, NORMALIZER = 1, 2, 3
TEXT, SCORE_KEY, TYPE_KEY = 1, 2 << 3 | 5, 3 << 3  # a key is a field's number and its kind
MODEL_TYPE, BPE, BYTE_FALLBACK = 3, 2, 35
ADD_DUMMY_PREFIX, REMOVE_EXTRA_WHITESPACES = 3, 4
SCORE_AND_TYPE = struct.Struct("<BfBB")


class SentencePieceSpeller:
    """Text to ids. The library gets only the tokens that text may become, and counts them anew.

    Characters in a row that no token can write are one unknown token, or nothing without one.
    """

    def __init__(self, metadata: Metadata, vocabulary: Vocabulary, unknown: int | None) -> None:
        """Raises ModelFileError where the scores are not one number a token."""
        ranks, byte_names = _read_ranks(metadata, vocabulary), vocabulary.byte_names()
        known, types = vocabulary.plain_ids() | byte_names, vocabulary.types
        ids = {text: token for text, token in known.items() if _is_taken(text)}
        pieces = [_piece(text, ranks[token], types[token]) for text, token in ids.items()]
        pieces.append(_piece(UNKNOWN, 0, TokenType.UNKNOWN))
        model = _model(b"".join(pieces), bool(byte_names))
        self._processor = SentencePieceProcessor(model_proto=model)
        self._ids = [*ids.values(), unknown]
        self._adds_space = metadata.boolean(ADDS_SPACE, True)

    def spell(self, text: str, after_special: bool) -> list[int]:
        if self._adds_space and after_special:
            text = " " + text
        found = map(self._ids.__getitem__, self._processor.encode(text))
        return [token for token in found if token is not None]

    def decoded(self, text: bytes) -> bytes:
        return text.replace(SPACE, b" ")

    def tidy(self, text: str) -> str:
        return text.removeprefix(" ") if self._adds_space else text


def _read_ranks(metadata: Metadata, vocabulary: Vocabulary) -> list[int]:
    """Every token's place among the scores, whose order alone counts; raises ModelFileError."""
    scores = read_numbers(metadata, SCORES, len(vocabulary.texts))
    if scores is None:
        return [0] * len(vocabulary.texts)
    if np.isnan(scores).any():
        raise ModelFileError(f"{metadata.path}: the key {SCORES} holds a NaN", DAMAGED)
    ranks: list[int] = np.unique(scores, return_inverse=True)[1].tolist()
    return ranks


def _model(pieces: bytes, has_bytes: bool) -> bytes:
    """A model that leaves text as it is, but for spaces, which become U+2581."""
    trainer = _number(MODEL_TYPE, BPE) + _number(BYTE_FALLBACK, has_bytes)
    normalizer = _number(ADD_DUMMY_PREFIX, 0) + _number(REMOVE_EXTRA_WHITESPACES, 0)
    return pieces + _block(TRAINER, trainer) + _block(NORMALIZER, normalizer)


def _is_taken(text: bytes) -> bool:
    """Whether the library takes such a piece, for it refuses models with any other."""
    return text != UNKNOWN and len(text) <= LONGEST and b"\0" not in text


def _piece(text: bytes, rank: int, kind: int) -> bytes:
    numbers = SCORE_AND_TYPE.pack(SCORE_KEY, rank, TYPE_KEY, kind)
    return _block(PIECE, _block(TEXT, text) + numbers)


def _block(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the top bit says that another byte follows."""
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + _varint(value >> 7)
