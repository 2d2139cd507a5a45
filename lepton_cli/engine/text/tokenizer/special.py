"""Special tokens: begin and end of text, unknown, end of generation."""

from dataclasses import dataclass
from typing import Literal

from lepton_cli.engine.text.tokenizer.vocabulary import (
    END_TEXTS,
    FILL_ENDS,
    FILL_TEXTS,
    Vocabulary,
    continuing_texts,
)
from quant.gguf import Metadata

Adds = bool | Literal["always"]


@dataclass(frozen=True, slots=True)
class Defaults:
    """The defaults of a tokenizer model, which the file's keys override; invalid ids are ignored.

    "always" cannot be overridden.
    """

    bos: int | None
    eos: int | None
    unknown: int | None = None
    adds_bos: Adds = False
    adds_eos: Adds = False
    bos_keys: tuple[str, ...] = ("bos_token_id",)
    eos_keys: tuple[str, ...] = ("eos_token_id",)
    adds_sep: Adds = False  # between two texts


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """The ids of special tokens. `before` and `after` are put around a text on request.

    Of two texts `between` stands in the middle.
    """

    bos: int | None
    eos: int | None
    unknown: int | None
    before: tuple[int, ...]
    after: tuple[int, ...]
    between: tuple[int, ...]
    end_of_generation: frozenset[int]
    notes: tuple[str, ...]  # invalid values in the file


class _Reader:
    """Reads ids from the metadata; ids outside the vocabulary are noted and ignored."""

    def __init__(self, metadata: Metadata, vocabulary: Vocabulary) -> None:
        self._metadata, self._size = metadata, len(vocabulary.texts)
        self.notes: list[str] = []

    def token(self, names: tuple[str, ...], default: int | None = None) -> int | None:
        for key in (f"tokenizer.ggml.{name}" for name in names):
            if key not in self._metadata:
                continue
            token = self._metadata.integer(key)
            if 0 <= token < self._size:
                return token
            self.notes.append(f"{key} is {token}, outside the {self._size} tokens: ignored")
        return default if default is not None and default < self._size else None

    def adds(self, name: str, default: Adds) -> bool:
        return default == "always" or self._metadata.boolean(f"tokenizer.ggml.{name}", default)


def read_special_tokens(
    metadata: Metadata, vocabulary: Vocabulary, defaults: Defaults
) -> SpecialTokens:
    """Raises ModelFileError for a key of the wrong type."""
    reader = _Reader(metadata, vocabulary)
    bos = reader.token(defaults.bos_keys, defaults.bos)
    eos = reader.token(defaults.eos_keys, defaults.eos)
    adds_bos = reader.adds("add_bos_token", defaults.adds_bos)
    adds_eos = reader.adds("add_eos_token", defaults.adds_eos)
    after = (eos,) if adds_eos and eos is not None else ()
    separator = reader.token(("seperator_token_id",))
    adds_sep = reader.adds("add_sep_token", defaults.adds_sep)
    return SpecialTokens(
        bos,
        eos,
        reader.token(("unknown_token_id",), defaults.unknown),
        before=(bos,) if adds_bos and bos is not None else (),
        after=after,
        between=(*after, separator) if adds_sep and separator is not None else after,
        end_of_generation=_end_of_generation(reader, vocabulary, eos),
        notes=tuple(reader.notes),
    )


def _end_of_generation(reader: _Reader, vocabulary: Vocabulary, eos: int | None) -> frozenset[int]:
    named = [eos, reader.token(("eot_token_id",)), reader.token(("eom_token_id",))]
    ends = vocabulary.find(END_TEXTS) | {token for token in named if token is not None}
    for name in FILL_ENDS:
        token = reader.token((f"{name}_token_id",))
        ends |= vocabulary.find(FILL_TEXTS[name]) if token is None else {token}
    return frozenset(ends - vocabulary.find(continuing_texts(vocabulary.ids)))
