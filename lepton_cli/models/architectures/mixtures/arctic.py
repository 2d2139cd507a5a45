"""Arctic (Snowflake 2024): a dense decoder, beside whose blocks experts read the same input."""

from dataclasses import dataclass

from lepton_cli.models.architectures.llama.llama import Llama
from lepton_cli.models.parts.block import Mixer, Norm, PreNorm
from lepton_cli.models.parts.feed_forward import Mixture
from lepton_cli.models.weights import Layer
from ops.interface import Array, Operators


@dataclass(frozen=True, slots=True)
class BesideExperts:
    """What a block and a mixture make of the same input, added."""

    block: Mixer
    mixture: Mixture
    norm: Norm

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        y = self.mixture(ops, self.norm(ops, x, w.ffn_norm_exps), w)
        return ops.add(self.block(ops, x, w), y)


class Arctic(Llama):
    def block(self, layer: int) -> Mixer:
        dense = PreNorm(self.mixer(layer), self.dense(), self.norm)
        return BesideExperts(dense, self.mixture(layer), self.norm)
