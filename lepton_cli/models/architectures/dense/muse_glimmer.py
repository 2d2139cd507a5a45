"""Muse-Glimmer: a sandwich of norms, a gate on every number, local layers that alone turn."""

from dataclasses import replace

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.attention import GroupedAttention
from lepton_cli.models.parts.block import Mixer, RmsNorm, SandwichNorm
from lepton_cli.models.weights import FEED_FORWARD_SCALES
from ops.interface import Array, Operators, Rope


class MuseGlimmer(Decoder):
    interleaved_rope = True
    has_head_norm = True
    local_period, default_window = 4, None
    unapplied = FEED_FORWARD_SCALES | {"attn_gate.scale"}
    post_eps = 1e-8  # whatever the file says

    def embed(self, ops: Operators) -> Array:
        return ops.rms_norm(super().embed(ops), self.width, self.eps)

    def block(self, layer: int) -> Mixer:
        mixers = self.mixer(layer), self.channel(layer)
        return SandwichNorm(*mixers, self.norm, RmsNorm(self.post_eps))

    def attention(self, layer: int) -> GroupedAttention:
        return replace(super().attention(layer), gate="sigmoid")

    def rope(self, layer: int) -> Rope | None:
        return self.local_rope if self.is_local(layer) else None

    def local_base(self) -> float:
        return self.keys.rope_base("rope.freq_base_swa", self.rope_base())

    def logits(self, ops: Operators, x: Array) -> Array:
        y = ops.scale(super().logits(ops, x), self.keys.not_negative("logit_scale"))
        cap = self.keys.not_negative("final_logit_softcapping", 30.0)
        return ops.softcap(y, cap) if cap > 0 else y
