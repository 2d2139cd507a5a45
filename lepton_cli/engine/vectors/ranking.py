"""The order of texts by their scores, and scores by the likeness of vectors."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from lepton_cli.engine.embedding.pooling import Rows, Scores
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


def ranked(scores: Scores, top: int = 0) -> list[Ranked]:
    """The best first, of equal ones the first; only `top` of them, where it is not 0."""
    usable = np.flatnonzero(~np.isnan(scores))
    order = usable[np.argsort(-scores[usable], kind="stable")]
    return [Ranked(int(n), float(scores[n])) for n in order[: top or None]]
