"""MiniCPM 3 (2024): latent attention, with constant multipliers of embedding, branches, output."""

from lepton_cli.models.architectures.latent.plm import ExpandedLatent
from lepton_cli.models.parts.block import Mixer, Scaled
from ops.interface import Array, Operators

EMBEDDING_SCALE, BRANCH_SCALE, TRAINED_WIDTH = 12.0, 1.4, 256


class MiniCpm3(ExpandedLatent):
    interleaved_rope = False

    def embed(self, ops: Operators) -> Array:
        return ops.scale(super().embed(ops), EMBEDDING_SCALE)

    def mixer(self, layer: int) -> Mixer:
        return Scaled(super().mixer(layer), BRANCH_SCALE * self.layers**-0.5)

    def channel(self, layer: int) -> Mixer:
        return Scaled(super().channel(layer), BRANCH_SCALE * self.layers**-0.5)

    def final_norm(self, ops: Operators, x: Array) -> Array:
        return ops.scale(super().final_norm(ops, x), TRAINED_WIDTH / self.width)
