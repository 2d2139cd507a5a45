"""OpenELM (Apple 2024): heads and feed-forward widths that grow from layer to layer."""

from lepton_cli.models.decoder import Decoder


class OpenElm(Decoder):
    has_head_norm = True
