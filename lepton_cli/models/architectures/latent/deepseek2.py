"""DeepSeek V2 and V3 (2024): latent attention, many small experts chosen from groups."""

import math
from dataclasses import replace
from typing import ClassVar

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.parts.latent import LatentAttention
from lepton_cli.models.rope import Frequencies, Yarn, read_scaling
from ops.interface import Gating, Rope

STORED = 0.1  # times the logarithm's multiplier is what files hold


class DeepSeek2(Decoder):
    interleaved_rope = True
    has_gating_key, has_shared_expert, has_next_token = True, True, True
    normalizes: ClassVar[bool | None] = None

    def mixer(self, layer: int) -> Mixer:
        return self.latent(layer)

    def latent(self, layer: int) -> LatentAttention:
        keys, turning = self.keys, self.rotary
        width, values = self.head_widths(layer)
        if width < turning:
            raise keys.error("attention.key_length_mla", f"is {width}: less than turn ({turning})")
        return LatentAttention(
            layer=layer,
            heads=keys.heads_at(layer),
            rank=keys.positive("attention.kv_lora_rank"),
            plain=width - turning,
            turning=turning,
            values=values,
            scale=self.score_scale() / math.sqrt(width),
            rope=self.rope(layer),
            norm=self.norm,
        )

    def head_widths(self, layer: int) -> tuple[int, int]:
        """Of keys and values; older files have no other lengths than these."""
        keys, width = self.keys, self.head_width(layer)
        values = keys.positive("attention.value_length", width)
        return (
            keys.positive("attention.key_length_mla", width),
            keys.positive("attention.value_length_mla", values),
        )

    def score_scale(self) -> float:
        """YaRN's magnitude acts on the scores, squared; so does a linear factor (a quirk)."""
        log = math.log(read_scaling(self.keys).factor)
        multiplier = self.log_multiplier()
        stretched = 1.0 if multiplier else 1 + 0.1 * log
        return float((stretched * (1 + 0.1 * multiplier * log)) ** 2)

    def log_multiplier(self) -> float:
        return self.keys.not_negative("rope.scaling.yarn_log_multiplier", 0.0) / STORED

    @property
    def yarn(self) -> Yarn:
        """With a multiplier nothing is left for the rotation: its magnitude is 1."""
        return Yarn(log_multiplier=1.0 if self.log_multiplier() else 0.0)

    def turn(self, frequencies: Frequencies, magnitude: float = 1.0) -> Rope:
        return replace(super().turn(frequencies, magnitude), head_width=2 * len(frequencies))

    def read_gating(self) -> Gating:
        """Files of GLM-4.7-Flash may lack the key."""
        is_flash = self.layers in (47, 48) and self.embedding.rows == 154880
        if not self.keys.integer("expert_gating_func", 0) and is_flash:
            return "sigmoid"
        return super().read_gating()
