"""MiMo V2 (Xiaomi 2025): local layers with heads and a rotary base of their own, sinks."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer, Scaled
from ops.interface import Rope


class MiMo2(Decoder):
    local_period, default_window = 1, None  # the file lists the local layers
    gating = "sigmoid"
    leaves_dense_out = True
    unapplied = frozenset({"attn_q.bias", "attn_k.bias", "attn_v.bias"})

    def rope(self, layer: int) -> Rope | None:
        return self.local_rope if self.is_local(layer) else self.global_rope

    def mixer(self, layer: int) -> Mixer:
        scale = self.keys.not_negative("attention.value_scale", 0.0)
        return Scaled(super().mixer(layer), scale) if scale else super().mixer(layer)
