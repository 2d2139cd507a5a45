"""BERT (Devlin et al. 2019) and its many relatives: BGE, E5, MiniLM, XLM-R."""

from typing import ClassVar

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer, SumNorm, ones_like
from lepton_cli.models.parts.feed_forward import Ungated
from ops.interface import Activation, Array, Operators, Rope, check_widths


class Bert(Decoder):
    """Norms stand behind the sums, so that the last rows are normalised already."""

    sees = "run"
    generates = False
    has_layer_norms = True
    activation: ClassVar[Activation] = "gelu"

    def embed(self, ops: Operators) -> Array:
        """Every token counts as one of the first of two kinds of text."""
        x = super().embed(ops)
        if "token_types" in self.weights:
            kind = self.weights["token_types"].part(0, 1)
            check_widths(kind.weight.name, kind.weight.columns, self.width)
            x = ops.add(x, ops.scale_by(ones_like(ops, x), kind))
        if "position_embd" in self.weights:
            x = ops.add(x, self.embed_positions(ops))
        return self.norm(ops, x, self.weights["token_embd_norm"])

    def block(self, layer: int) -> Mixer:
        return SumNorm(self.mixer(layer), self.channel(layer), self.norm)

    def dense(self, suffix: str = "") -> Mixer:
        return Ungated(self.activation, suffix)

    def final_norm(self, ops: Operators, x: Array) -> Array:
        return x

    def rope(self, layer: int) -> Rope | None:
        return None
