"""Qwen 1.5, 2 and 2.5, text and vision: half-split rotary positions, biases on q, k and v."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.weights import FEED_FORWARD_SCALES


class Qwen2(Decoder):
    """The biases are in the file, and a bias in the file is always applied."""


class Qwen2Moe(Qwen2):
    normalizes = False
    has_shared_expert = True


class Qwen2Vl(Qwen2):
    axes = "stretches"
    unapplied = FEED_FORWARD_SCALES | {"output.bias"}
