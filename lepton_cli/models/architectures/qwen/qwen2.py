"""Qwen 1.5, 2 and 2.5: Llama with half-split rotary positions and biases on q, k and v."""

from lepton_cli.models.decoder import Decoder


class Qwen2(Decoder):
    """The biases are in the file, and a bias in the file is always applied."""
