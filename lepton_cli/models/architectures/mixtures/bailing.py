"""Ling and Ring (inclusionAI 2025): experts, later with a bias and from groups."""

from lepton_cli.models.decoder import Decoder


class BailingMoe(Decoder):
    interleaved_rope = True
    normalizes = None
    has_shared_expert = True

    def attention_scale(self, layer: int) -> float:
        return float(self.rotary**-0.5)


class BailingMoe2(Decoder):
    has_head_norm = True
    has_gating_key = True
    normalizes = None
    has_shared_expert = True
