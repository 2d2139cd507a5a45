"""Multi-token prediction (DeepSeek-V3, 2024): a block behind the model's own guesses further on."""

from dataclasses import dataclass
from typing import Self

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.weights import Layer
from ops.interface import Array, Operators


@dataclass(frozen=True, slots=True)
class NextTokenHead:
    """The first of a model's further blocks, as a program with keys and values of its own.

    A step brings for each token the model's row at the position before, behind its final norm, from
    which the model drew the token; for the first position zeros. The block guesses what follows.
    Its own rows stand for the model's where that has not run yet.
    """

    decoder: Decoder

    @classmethod
    def of(cls, decoder: Decoder) -> Self | None:
        """None if the architecture, or the file, has no such block."""
        head = cls(decoder)
        has_block = decoder.has_next_token and len(decoder.further_blocks) > 0
        return head if has_block and "nextn.eh_proj" in head.weights else None

    @property
    def weights(self) -> Layer:
        return Layer(self.decoder.weights, self.decoder.layers)

    @property
    def has_logits(self) -> bool:
        """Whether its logits are computed by a matrix of its own, not by the model's."""
        return "nextn.shared_head_head" in self.weights

    def hidden(self, ops: Operators) -> Array:  # (O, D)
        """The rows from which the logits of the tokens after those of the step are computed."""
        model, w = self.decoder, self.weights
        ops = ops.layer(model.layers)
        both = [
            model.norm(ops, self.embed(ops), w["nextn.enorm"]),
            model.norm(ops, ops.given(model.width), w["nextn.hnorm"]),
        ]
        x = ops.linear(w["nextn.eh_proj"], ops.join(both))
        return self.final_norm(ops, ops.select_outputs(model.block(model.layers)(ops, x, w)))

    def embed(self, ops: Operators) -> Array:  # (T, D)
        if "nextn.embed_tokens" in self.weights:
            return ops.embed(self.weights["nextn.embed_tokens"].weight)
        return self.decoder.embed(ops)

    def final_norm(self, ops: Operators, x: Array) -> Array:
        if "nextn.shared_head_norm" in self.weights:
            return self.decoder.norm(ops, x, self.weights["nextn.shared_head_norm"])
        return self.decoder.final_norm(ops, x)

    def logits(self, ops: Operators, x: Array) -> Array:  # (O, D) -> (O, V)
        if self.has_logits:
            return ops.linear(self.weights["nextn.shared_head_head"], x)
        return self.decoder.logits(ops, x)
