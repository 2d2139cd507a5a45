"""The order of texts by their scores: a reranker's, or the likeness of vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from lepton_cli.engine.embedding.embeddings import Embeddings
from lepton_cli.engine.embedding.pooling import Rows, Scores, VectorForm
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.vectors.array_file import Origin, read_array
from lepton_cli.models.pooling import POOLINGS, Pooling
from quant.errors import UsageError

AT_ONCE = 1 << 14  # vectors that are compared as float64


@dataclass(frozen=True, slots=True)
class Ranked:
    """A text's place in the input, from 0, and its score."""

    number: int
    score: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """Texts by their scores, the best first; `missing`: how many have none, as a vector failed."""

    best: tuple[Ranked, ...]
    missing: int

    @classmethod
    def of(cls, scores: Scores, top: int) -> "Ranking":
        """Of equal scores the first is first; only the `top` best, where it is not 0."""
        usable = np.flatnonzero(~np.isnan(scores))
        order = usable[np.argsort(-scores[usable], kind="stable")][: top or None]
        best = tuple(Ranked(int(n), float(scores[n])) for n in order)
        return cls(best, len(scores) - len(usable))


@dataclass(frozen=True, slots=True)
class Index:
    """The vectors of a file's texts, (n, width), and what made them, if the file says so."""

    path: Path
    rows: Rows
    origin: Origin | None

    @property
    def pooling(self) -> Pooling | Literal["file"]:
        """How they were pooled; as the model's file says, if that is not known."""
        named = self.origin.pooling if self.origin else None
        return next((each for each in POOLINGS if each == named), "file")

    def check(self, model: str, path: Path, width: int) -> None:
        """Raises UsageError if these are not vectors of the model with this identity.

        Those that Lepton made of it may be cut, by --dimensions.
        """
        again = f"make it anew: lepton embed {path} -f FILE -o {self.path}"
        if self.origin is not None and self.origin.model != model:
            raise UsageError(f"{self.path} holds vectors of another model than {path}", again)
        held = self.rows.shape[1]
        if held != width and not (self.origin is not None and 0 < held < width):
            message = f"{self.path} holds vectors of {counted(held, 'number')}"
            raise UsageError(f"{message}, those of {path} have {width}", again)


def open_index(path: Path, texts: int) -> Index:
    """The index of so many texts. Raises UsageError."""
    rows, origin = read_array(path)
    if len(rows) != texts:
        held = f"{path} holds {counted(len(rows), 'vector')}"
        message = f"{held}, the input has {counted(texts, 'text')}"
        raise UsageError(message, "give the file that it was made of, or make it anew")
    return Index(path, rows, origin)


def nearest(
    model: Embeddings,
    query: str,
    texts: Sequence[str],
    index: Index | None,
    top: int,
    *,
    truncate: bool = False,
    at_once: int | None = None,
) -> Ranking:
    """The texts whose vectors are most like the query's: those of the index, or computed.

    For `truncate` and `at_once` see Embeddings.embed. Raises LeptonError.
    """
    form = VectorForm(dimensions=index.rows.shape[1] if index else None)
    wanted = model.embed(query, form, truncate=truncate)[0]
    rows = index.rows if index else model.embed(texts, truncate=truncate, at_once=at_once)
    return Ranking.of(similarities(rows, wanted), top)


def judged(
    model: Embeddings,
    query: str,
    texts: Sequence[str],
    top: int,
    *,
    truncate: bool = False,
    at_once: int | None = None,
) -> Ranking:
    """The texts that answer the query best, by a reranker. Raises LeptonError."""
    return Ranking.of(model.rerank(query, texts, truncate=truncate, at_once=at_once), top)


def similarities(rows: Rows, vector: Scores) -> Scores:
    """(n, width), (width,) -> (n,): cosines; NaN for rows that have no length."""
    wanted = vector.astype(np.float64)
    found = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), AT_ONCE):
        part = rows[start : start + AT_ONCE].astype(np.float64)
        lengths = np.sqrt((part * part).sum(1) * (wanted * wanted).sum())
        with np.errstate(invalid="ignore", divide="ignore"):
            found[start : start + AT_ONCE] = (part * wanted).sum(1) / lengths
    return found
