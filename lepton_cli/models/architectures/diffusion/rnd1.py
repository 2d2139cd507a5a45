"""RND1 (Radical Numerics 2025): Qwen 3 with experts that sees all tokens."""

from lepton_cli.models.architectures.qwen.qwen3 import Qwen3
from lepton_cli.models.weights import FEED_FORWARD_SCALES


class Rnd1(Qwen3):
    sees = "run"
    unapplied = FEED_FORWARD_SCALES
