"""Orion: Llama with layer norms."""

from lepton_cli.models.decoder import Decoder


class Orion(Decoder):
    has_layer_norms = True
