"""Nemotron-H, Nemotron Nano 2 and Nemotron 3 (NVIDIA 2025): each block is one mixer.

It is Mamba-2, attention without positions, or a feed-forward part.
"""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer, Single
from lepton_cli.models.parts.feed_forward import LatentMixture, Mixture, Ungated
from lepton_cli.models.parts.state_space import Mamba2
from ops.interface import Rope


class NemotronH(Decoder):
    activation = "squared_relu"
    gating, normalizes, has_shared_expert = "sigmoid", None, True

    def read_norm(self) -> str:
        """Older files give their RMS norms the key of layer norms."""
        key = "layer_norm_rms"
        return key if f"attention.{key}_epsilon" in self.keys else "layer_norm"

    def block(self, layer: int) -> Mixer:
        return Single(self.mixer(layer), self.norm)

    def mixer(self, layer: int) -> Mixer:
        if self.keys.at("feed_forward_length", layer):
            return self.channel(layer)
        if self.keys.at("attention.head_count_kv", layer):
            return self.attention(layer)
        return Mamba2.read(self.keys, self.norm)

    def dense(self, suffix: str = "") -> Mixer:
        return Ungated(self.activation, suffix)

    def mixture(self, layer: int) -> Mixture:
        narrowed = f"blk.{layer}.ffn_latent_down" in self.weights
        kind = LatentMixture if narrowed else Mixture
        return kind(self.routing(layer), self.activation, gated=False)

    def rope(self, layer: int) -> Rope | None:
        return None
