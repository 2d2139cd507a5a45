"""Byte-pair merging with `tokenizers`; its model of the whole vocabulary is only for long texts.

Building that takes up to half a second, but most prompts are short. Each piece of a short prompt
gets its own small model, since merges of tokens that do not occur in the piece cannot apply.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property

from tokenizers.models import BPE

from lepton_cli.engine.text.tokenizer.arrays import decode_texts

LONG_PIECE, LONG_TEXT = 150, 20_000  # characters from which the whole model is cheaper
UNKNOWN = ""  # no token has this text, and no piece can spell it


class Merger:
    """Encodes pieces by merging; counts their total length."""

    def __init__(
        self,
        tokens: Mapping[bytes, int],
        merges: Sequence[bytes],
        byte_names: Mapping[bytes, int],
        unknown: int,
        ignores_merges: bool,
    ) -> None:
        """`merges`: pairs of tokens separated by a space, in order of priority."""
        self._tokens, self._merges = tokens, merges
        # of equal merges the first counts
        self._ranks = dict(zip(reversed(merges), range(len(merges))[::-1], strict=True))
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
            pair: self._ranks[pair]
            for span in spans
            for middle, left in span.items()
            for end, right in following[middle].items()
            if end in span and (pair := left + b" " + right) in self._ranks
        }
        return self._model(tokens, sorted(pairs, key=pairs.__getitem__))

    @cached_property
    def _whole(self) -> BPE:
        return self._model(self._tokens, dict.fromkeys(self._merges))

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
