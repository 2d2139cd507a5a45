"""DeepSeek MoE (Dai et al. 2024): many small experts, and some that every token goes through."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.weights import FEED_FORWARD_SCALES


class DeepSeek(Decoder):
    interleaved_rope = True
    normalizes = False
    unapplied = FEED_FORWARD_SCALES
    has_shared_expert = True
