"""Dream (Ye et al. 2025): Qwen 2.5 that sees all tokens."""

from lepton_cli.models.architectures.qwen.qwen2 import Qwen2
from lepton_cli.models.weights import FEED_FORWARD_SCALES


class Dream(Qwen2):
    sees = "run"
    unapplied = FEED_FORWARD_SCALES | {"output.bias"}
