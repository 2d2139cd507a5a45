"""A head that judges texts: it makes scores, one for each label, of a text's row."""

from dataclasses import dataclass

from lepton_cli.models.weights import Weights
from ops.interface import Activation, Array, Operators

MATRICES = ("cls", "cls.output")
TENSORS = (*MATRICES, "cls.norm")


@dataclass(frozen=True, slots=True)
class Classifier:
    """output · norm(activation(dense row)); a file may lack all but one of the matrices.

    `reads_mean`: the row is the mean of a text's rows, where no key says otherwise. `softmax`: the
    scores are the labels' probabilities.
    """

    activation: Activation = "tanh"
    reads_mean: bool = False
    softmax: bool = False

    def __call__(self, ops: Operators, x: Array, w: Weights, eps: float) -> Array:
        if "cls" in w:
            x = ops.activate(ops.linear(w["cls"], x), self.activation)
            if "cls.norm" in w:
                x = ops.layer_norm(x, w["cls.norm"], eps)
        return ops.linear(w["cls.output"], x) if "cls.output" in w else x
