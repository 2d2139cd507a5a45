"""Multi-token prediction (DeepSeek-V3, 2024): a block behind the model's own guesses further on."""

from dataclasses import dataclass

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.weights import Layer
from ops.interface import Array, Operators


@dataclass(frozen=True, slots=True)
class NextTokenHead:
    """The first of a model's further blocks, as a program with keys and values of its own.

    A step brings for each token the model's row at the position before, behind its final norm, from
    which the model drew the token; for the first position zeros. The block guesses what follows.
    """

    decoder: Decoder

    def forward(self, ops: Operators) -> Array:  # (O, V)
        """Logits of the tokens after those of the step."""
        model, number = self.decoder, self.decoder.layers
        w, ops = Layer(model.weights, number), ops.layer(number)
        both = [
            model.norm(ops, self.embed(ops, w), w["nextn.enorm"]),
            model.norm(ops, ops.given(model.width), w["nextn.hnorm"]),
        ]
        x = model.block(number)(ops, ops.linear(w["nextn.eh_proj"], ops.join(both)), w)
        return self.logits(ops, ops.select_outputs(x), w)

    def embed(self, ops: Operators, w: Layer) -> Array:  # (T, D)
        if "nextn.embed_tokens" in w:
            return ops.embed(w["nextn.embed_tokens"].weight)
        return self.decoder.embed(ops)

    def logits(self, ops: Operators, x: Array, w: Layer) -> Array:  # (O, D) -> (O, V)
        """By a norm and a matrix of the block's own, or by the model's."""
        if "nextn.shared_head_norm" in w:
            x = self.decoder.norm(ops, x, w["nextn.shared_head_norm"])
        else:
            x = self.decoder.final_norm(ops, x)
        if "nextn.shared_head_head" in w:
            return ops.linear(w["nextn.shared_head_head"], x)
        return self.decoder.logits(ops, x)
