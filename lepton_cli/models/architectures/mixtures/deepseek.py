"""DeepSeek MoE (Dai et al. 2024): many small experts, and some that every token goes through."""

from typing import ClassVar

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.weights import FEED_FORWARD_SCALES


class DeepSeek(Decoder):
    interleaved_rope = True
    normalizes: ClassVar[bool | None] = False
    unapplied = FEED_FORWARD_SCALES
    has_shared_expert = True


class DeepSeekOcr(DeepSeek):
    """The text model of DeepSeek OCR: whole heads turn, by halves, from a fixed base."""

    interleaved_rope = False
    has_gating_key, normalizes = True, None

    @property
    def rotary(self) -> int:
        return self.head_width(0)

    def rope_base(self) -> float:
        return 10000.0
