"""dots.llm1 (rednote 2025): Qwen 3's attention, DeepSeek V3's experts without groups."""

from lepton_cli.models.decoder import Decoder


class Dots1(Decoder):
    has_head_norm = True
    has_gating_key = True
    normalizes = None
    has_shared_expert = True
