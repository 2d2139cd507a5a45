"""The merges of byte-pair encoding, and merging with `tokenizers`.

Its model of the whole vocabulary takes up to half a second to build and is only for long texts.
Each piece of a short prompt gets its own small model, since merges of tokens that do not occur in
the piece cannot apply. For the few pairs of a prompt an array of short digests is searched, which
is made in a fifth of the time of a dictionary of all merges.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from tokenizers.models import BPE

from lepton_cli.engine.text.tokenizer.arrays import DAMAGED, MAX_BYTES, decode_texts, read_texts
from quant.errors import ModelFileError
from quant.gguf import Metadata
from quant.strings import Strings

LONG_PIECE, LONG_TEXT = 150, 20_000  # characters from which the whole model is cheaper
UNKNOWN = ""  # no token has this text, and no piece can spell it
MERGES = "tokenizer.ggml.merges"
MAX_MERGES = 800_000  # the largest vocabularies in use have 514,906
MANY = 5_000  # pairs that were asked for, from which the dictionary costs less
WORD = 8  # bytes
ODD = 0x9E3779B97F4A7C15  # a multiplier that spreads bits (Knuth, TAOCP 6.4)
MASK = (1 << 64) - 1

Flat = tuple[NDArray[np.uint8], NDArray[np.int64]]  # bytes, and where each text starts and ends


class Merges:
    """Pairs of tokens, a space between them, by priority; of equal ones the first counts."""

    def __init__(self, texts: Sequence[bytes], flat: Flat | None = None) -> None:
        """`flat`: those of a file in one array, to be searched."""
        self.texts, self._flat, self._asked = texts, flat, 0

    def ranks(self, pairs: Collection[bytes]) -> dict[bytes, int]:
        """The ranks of those that are merges."""
        self._asked += len(pairs)
        if self._asked > MANY or self._flat is None:
            return {pair: self._all[pair] for pair in pairs if pair in self._all}
        (digests, order), (letters, starts) = self._digests, self._flat
        found, wanted = {}, np.array([_digest(pair) for pair in pairs], np.uint64)
        firsts = np.searchsorted(digests, wanted)
        lasts = np.searchsorted(digests, wanted, "right")
        for pair, first, last in zip(pairs, firsts.tolist(), lasts.tolist(), strict=True):
            for rank in sorted(order[first:last].tolist(), reverse=True):
                if letters[starts[rank] : starts[rank + 1]].tobytes() == pair:
                    found[pair] = rank
        return found

    @cached_property
    def _all(self) -> dict[bytes, int]:
        texts = list(self.texts)
        return dict(zip(reversed(texts), range(len(texts))[::-1], strict=True))

    @cached_property
    def _digests(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Those of all merges in rising order, and the rank of each."""
        assert self._flat is not None, "only texts in one array are searched"
        letters, starts = self._flat
        padded = np.concatenate([letters, np.zeros(WORD, np.uint8)])
        words = np.ndarray(len(letters) + 1, "<u8", padded, strides=(1,))  # from each byte on
        sizes = np.diff(starts)
        missing = (WORD - np.minimum(sizes, WORD)).astype(np.uint64) * np.uint64(8)
        head = words[starts[:-1]] << missing  # without what follows a short text
        tail = words[np.maximum(starts[1:] - WORD, starts[:-1])]
        tail = np.where(sizes < WORD, np.uint64(0), tail)
        with np.errstate(over="ignore"):
            digests = (head * np.uint64(ODD) ^ tail) * np.uint64(ODD) + sizes.astype(np.uint64)
        order = np.argsort(digests)
        return digests[order], order


def _digest(text: bytes) -> int:
    """Of its first and last eight bytes and its length: others may have the same."""
    size = len(text)
    head = int.from_bytes(text[:WORD], "little") << 8 * (WORD - min(size, WORD))
    tail = int.from_bytes(text[-WORD:], "little") if size >= WORD else 0
    return ((head * ODD ^ tail) * ODD + size) & MASK


def read_merges(metadata: Metadata) -> Merges:
    """The file's merges; none if it has no such key. Raises ModelFileError if one is no pair."""
    if MERGES not in metadata:
        return Merges([])
    value = metadata[MERGES]
    if isinstance(value, Strings) and 0 < len(value) <= MAX_MERGES:
        flat = value.flat()
        if _are_pairs(*flat):
            return Merges(value, flat)
    texts = read_texts(metadata, MERGES, MAX_MERGES)
    wrong = next((text for text in texts if b" " not in text), None)
    if wrong is not None:
        message = f"{metadata.path}: the key {MERGES} holds {wrong!r:.60}, which is not a pair"
        raise ModelFileError(message, DAMAGED)
    return Merges(texts)


def _are_pairs(letters: NDArray[np.uint8], starts: NDArray[np.int64]) -> bool:
    """Whether all are short, UTF-8, and hold a space: found for all at once."""
    sizes, firsts = np.diff(starts), starts[:-1]
    if not 1 <= sizes.min() <= sizes.max() <= MAX_BYTES:
        return False
    if not np.logical_or.reduceat(letters == ord(" "), firsts).all():
        return False
    # a text that begins within a character would be valid only together with the one before
    if (letters[firsts] & 0xC0 == 0x80).any():
        return False
    try:
        letters.tobytes().decode()
    except UnicodeDecodeError:
        return False
    return True


class Merger:
    """Encodes pieces by merging; counts their total length."""

    def __init__(
        self,
        tokens: Mapping[bytes, int],
        merges: Merges,
        byte_names: Mapping[bytes, int],
        unknown: int,
        ignores_merges: bool,
    ) -> None:
        self._tokens, self._merges = tokens, merges
        self._longest = max(map(len, tokens), default=0)
        self._byte_names = {name.decode(): token for name, token in byte_names.items()}
        self._unknown, self._ignores_merges = unknown, ignores_merges
        self._letters = 0

    def ids(self, piece: str) -> list[int]:
        self._letters += len(piece) if len(piece) <= LONG_PIECE else LONG_TEXT
        model = self._model_of(piece) if self._letters < LONG_TEXT else self._whole
        return [token.id for token in model.tokenize(piece)]

    def _model_of(self, piece: str) -> BPE:
        """A model of the tokens that occur in the piece."""
        text, places = piece.encode(), _places(piece)
        spans: list[dict[int, bytes]] = []  # for each start, tokens by end position
        for n, start in enumerate(places):
            texts = {end: text[start:end] for end in places[n + 1 : n + 1 + self._longest]}
            spans.append({end: part for end, part in texts.items() if part in self._tokens})
        following = dict(zip(places, spans, strict=True))
        tokens = {part for span in spans for part in span.values()}
        pairs = {
            left + b" " + right
            for span in spans
            for middle, left in span.items()
            for end, right in following[middle].items()
            if end in span
        }
        ranks = self._merges.ranks(pairs)
        return self._model(tokens, sorted(ranks, key=ranks.__getitem__))

    @cached_property
    def _whole(self) -> BPE:
        return self._model(self._tokens, dict.fromkeys(self._merges.texts))

    def _model(self, tokens: Collection[bytes], merges: Iterable[bytes]) -> BPE:
        """A model; drops merges of non-tokens, which the library refuses."""
        names = dict(zip(tokens, decode_texts(tokens), strict=True))
        pairs = []
        for merge in merges:
            left, _, right = merge.partition(b" ")
            if left in names and right in names and left + right in names:
                pairs.append((names[left], names[right]))
        ids = {name: self._tokens[token] for token, name in names.items()} | self._byte_names
        # without an unknown token, the neighbours of dropped characters would be merged
        return BPE(
            {**ids, UNKNOWN: self._unknown},
            pairs,
            unk_token=UNKNOWN,
            byte_fallback=bool(self._byte_names),
            ignore_merges=self._ignores_merges,
        )


def _places(piece: str) -> list[int]:
    """The UTF-8 offsets of each character of a piece, and of its end."""
    places = [0]
    for letter in piece:
        places.append(places[-1] + len(letter.encode()))
    return places
