"""How a text's rows become one, and what the model's last matrices make of that."""

from dataclasses import dataclass
from typing import Literal, get_args

from lepton_cli.models import classifier
from lepton_cli.models.decoder import Decoder
from ops.interface import Array, Operators

Pooling = Literal["none", "mean", "cls", "last", "rank"]
"""In the order of llama.cpp's numbers for them, from 0. `cls`: the first row; `rank`: a score."""

POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
DENSE = ("dense_2", "dense_3")  # of Sentence Transformers, behind the pooling
HEADS = frozenset(
    f"{name}.{kind}" for name in (*DENSE, *classifier.TENSORS) for kind in ("weight", "bias")
)
"""Tensors that only texts' rows go through, and generation does not need."""
OUTPUT = frozenset({"output.weight", "output.bias"})
"""Tensors that only generation needs."""


def pooling_of(decoder: Decoder) -> Pooling | None:
    """The one that the file names; None if it names none. Raises ModelFileError."""
    number = decoder.keys.integer("pooling_type", 0)
    if not 0 <= number < len(POOLINGS):
        raise decoder.keys.error("pooling_type", f"is {number}: not supported yet")
    return POOLINGS[number] if number else None


@dataclass(frozen=True, slots=True)
class Pool:
    """Which of a text's rows count, and the matrices that their pooled row goes through.

    Without pooling each row goes through them.
    """

    decoder: Decoder
    pooling: Pooling

    @property
    def row(self) -> Literal["all", "mean", "first", "last"]:
        match self.pooling:
            case "none":
                return "all"
            case "cls":
                return "first"
            case "rank":
                return self._judged_row
            case kind:
                return kind

    @property
    def _judged_row(self) -> Literal["mean", "first", "last"]:
        keys = self.decoder.keys
        mean = POOLINGS.index("mean")
        default = mean if self.decoder.classifier.reads_mean else POOLINGS.index("none")
        if keys.integer("classifier.pooling_type", default) == mean:
            return "mean"
        return "last" if self.decoder.sees == "past" else "first"

    @property
    def has_head(self) -> bool:
        names = classifier.MATRICES if self.pooling == "rank" else DENSE
        return any(name in self.decoder.weights for name in names)

    @property
    def gives_shares(self) -> bool:
        """Whether scores are to be made probabilities of the labels."""
        return self.pooling == "rank" and self.decoder.classifier.softmax

    def head(self, ops: Operators) -> Array:  # (n, D) -> (n, width), (n, labels)
        x, weights = ops.given(self.decoder.width), self.decoder.weights
        if self.pooling == "rank":
            return self.decoder.classifier(ops, x, weights, self.decoder.eps)
        for name in DENSE:
            if name in weights:
                x = ops.linear(weights[name], x)
        return x
