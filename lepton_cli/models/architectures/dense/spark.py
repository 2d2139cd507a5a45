"""Spark 2.5 (iFlytek): local layers that turn otherwise, a gate on each head, GeGLU."""

from dataclasses import replace
from functools import cached_property

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.attention import GroupedAttention
from lepton_cli.models.rope import scaled
from lepton_cli.models.weights import FEED_FORWARD_SCALES
from ops.interface import Rope


class Spark(Decoder):
    activation = "gelu"
    local_period, default_window = 1, None  # the file lists the local layers
    unapplied = FEED_FORWARD_SCALES | {"attn_gate.scale"}

    def attention(self, layer: int) -> GroupedAttention:
        return replace(super().attention(layer), gate="sigmoid")

    def rope(self, layer: int) -> Rope | None:
        return self.local_rope if self.is_local(layer) else self.global_rope

    @cached_property
    def local_rope(self) -> Rope:
        base = self.keys.rope_base("rope.freq_base_swa", self.rope_base())
        rotary = self.read_rotary("rope.dimension_count_swa", self.rotary)
        return self.turn(*scaled(self.keys, base, rotary))
