"""ERNIE 4.5 (Baidu 2025), PaddleOCR's text model: Llama, in part with experts."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.weights import FEED_FORWARD_SCALES


class Ernie45(Decoder):
    interleaved_rope = True

    has_shared_expert = True


class Ernie45Moe(Ernie45):
    unapplied = frozenset({"attn_output.bias"})


class PaddleOcr(Ernie45):
    interleaved_rope = False
    axes = "stretches"
    unapplied = FEED_FORWARD_SCALES
