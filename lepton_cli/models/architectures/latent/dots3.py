"""dots 3 (rednote 2026): DeepSeek V3.2 with a gate on each head, and smaller local layers."""

from dataclasses import replace

from lepton_cli.models.architectures.latent.deepseek32 import DeepSeek32
from lepton_cli.models.parts.latent import LatentAttention
from ops.interface import Rope


class Dots3(DeepSeek32):
    local_period, default_window = 1, None  # the file lists the local layers
    has_next_token = False

    def latent(self, layer: int) -> LatentAttention:
        latent = replace(super().latent(layer), gate="sigmoid", window=self.window(layer))
        if not self.is_local(layer):
            return latent
        return replace(latent, rank=self.keys.positive("attention.kv_lora_rank_swa"))

    def head_widths(self, layer: int) -> tuple[int, int]:
        end = "_swa" if self.is_local(layer) else ""
        names = (f"attention.{kind}_length_mla{end}" for kind in ("key", "value"))
        key, value = (self.keys.positive(name) for name in names)
        return key, value

    def score_scale(self) -> float:
        return 1.0

    def log_multiplier(self) -> float:
        return 0.0

    def rope(self, layer: int) -> Rope | None:
        return self.local_rope if self.is_local(layer) else self.global_rope

    def local_base(self) -> float:
        return self.keys.rope_base("rope.freq_base_swa")
