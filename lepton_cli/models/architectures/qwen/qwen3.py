"""Qwen 3, dense and with experts: the heads of q and k are normalised before they turn."""

from lepton_cli.models.decoder import Decoder


class Qwen3(Decoder):
    has_head_norm = True
    ignored = frozenset({"cls.output.weight"})  # of rerankers: judges, does not generate
