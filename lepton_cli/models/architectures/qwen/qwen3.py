"""Qwen 3, dense, with experts, vision: the heads of q and k are normalised before they turn."""

from lepton_cli.models.classifier import Classifier
from lepton_cli.models.decoder import Decoder
from lepton_cli.models.weights import FEED_FORWARD_SCALES


class Qwen3(Decoder):
    has_head_norm = True
    classifier = Classifier(softmax=True)


class Qwen3Vl(Qwen3):
    axes = "alternating"
    unapplied = FEED_FORWARD_SCALES
