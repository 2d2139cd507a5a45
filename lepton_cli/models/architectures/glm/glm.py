"""GLM 3 and 4 (Zhipu): biases on q, k and v, part of each head turns; later a sandwich of norms."""

from dataclasses import replace

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer, SandwichNorm
from lepton_cli.models.rope import Frequencies
from ops.interface import Rope


class ChatGlm(Decoder):
    interleaved_rope = True


class Glm4Moe(Decoder):
    """GLM 4.5 to 4.7: half-split pairs; experts chosen with a bias behind the first layers."""

    axes = "stretches"
    has_head_norm = None
    ffn_norm = "post_attention_norm"  # its name notwithstanding, it stands before the experts
    gating, has_gating_key, normalizes, has_shared_expert = "sigmoid", True, None, True
    has_next_token = True


class Glm4(ChatGlm):
    """Of vision models, whose positions have several axes, the pairs are halves of the head."""

    axes = "stretches"

    def block(self, layer: int) -> Mixer:
        return SandwichNorm(self.mixer(layer), self.channel(layer), self.norm)

    def turn(self, frequencies: Frequencies, magnitude: float = 1.0) -> Rope:
        key = "rope.dimension_sections"
        vision = key in self.keys and min(self.keys.integers(key)[:2]) > 0
        return replace(super().turn(frequencies, magnitude), interleaved=not vision)
