"""SentencePiece (`llama`): uses the library, with a model file built from the metadata."""

import struct

import numpy as np

from lepton_cli.engine.text.tokenizer.arrays import DAMAGED, read_numbers
from lepton_cli.engine.text.tokenizer.vocabulary import TokenType, Vocabulary
from quant.errors import ModelFileError
from quant.gguf import Metadata

SCORES, ADDS_SPACE = "tokenizer.ggml.scores", "tokenizer.ggml.add_space_prefix"
SPACE = "\u2581".encode()
UNKNOWN = b" "  # the library's unknown piece; does not occur, as spaces become U+2581
MAX_PIECE = 7999  # bytes

# field numbers of sentencepiece_model.proto: of the model, and of its messages
PIECE, TRAINER, NORMALIZER = 1, 2, 3
TEXT, SCORE_KEY, TYPE_KEY = 1, 2 << 3 | 5, 3 << 3  # a key combines field number and wire type
MODEL_TYPE, BPE, BYTE_FALLBACK = 3, 2, 35
ADD_DUMMY_PREFIX, REMOVE_EXTRA_WHITESPACES = 3, 4
SCORE_AND_TYPE = struct.Struct("<BfBB")


class SentencePieceSpeller:
    """Text to ids. The library gets only the tokens that text may become, renumbered.

    A run of characters without tokens becomes one unknown token, or is dropped if there is none.
    """

    def __init__(self, metadata: Metadata, vocabulary: Vocabulary, unknown: int | None) -> None:
        """Raises ModelFileError if there is not one score per token."""
        from sentencepiece import SentencePieceProcessor  # for start-up time

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
    """Every token's rank by score; only the order matters. Raises ModelFileError."""
    scores = read_numbers(metadata, SCORES, len(vocabulary.texts))
    if scores is None:
        return [0] * len(vocabulary.texts)
    if np.isnan(scores).any():
        raise ModelFileError(f"{metadata.path}: the key {SCORES} holds a NaN", DAMAGED)
    ranks: list[int] = np.unique(scores, return_inverse=True)[1].tolist()
    return ranks


def _model(pieces: bytes, has_bytes: bool) -> bytes:
    """A model file without normalization, except that spaces become U+2581."""
    trainer = _number(MODEL_TYPE, BPE) + _number(BYTE_FALLBACK, has_bytes)
    normalizer = _number(ADD_DUMMY_PREFIX, 0) + _number(REMOVE_EXTRA_WHITESPACES, 0)
    return pieces + _block(TRAINER, trainer) + _block(NORMALIZER, normalizer)


def _is_taken(text: bytes) -> bool:
    """Whether the library accepts the piece (it refuses models with invalid ones)."""
    return text != UNKNOWN and len(text) <= MAX_PIECE and b"\0" not in text


def _piece(text: bytes, rank: int, kind: int) -> bytes:
    numbers = SCORE_AND_TYPE.pack(SCORE_KEY, rank, TYPE_KEY, kind)
    return _block(PIECE, _block(TEXT, text) + numbers)


def _block(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    """A protobuf varint: seven bits per byte, lowest first; the top bit means more bytes."""
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + _varint(value >> 7)
