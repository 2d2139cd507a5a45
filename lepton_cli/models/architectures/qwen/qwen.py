"""Qwen 1: Llama with one matrix and bias for q, k and v, half-split rotary positions."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.weights import FEED_FORWARD_SCALES


class Qwen(Decoder):
    """The file's `feed_forward_length` is twice what its tensors have; nobody asks it."""

    unapplied = FEED_FORWARD_SCALES
