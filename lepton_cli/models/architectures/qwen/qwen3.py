"""Qwen 3, dense, with experts, vision: the heads of q and k are normalised before they turn."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.weights import FEED_FORWARD_SCALES


class Qwen3(Decoder):
    has_head_norm = True
    ignored = frozenset({"cls.output.weight"})  # of rerankers: judges, does not generate


class Qwen3Vl(Qwen3):
    axes = "alternating"
    unapplied = FEED_FORWARD_SCALES
