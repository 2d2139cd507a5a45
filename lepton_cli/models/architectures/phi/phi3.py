"""Phi 3 to 4: fused matrices, and long-rope factors chosen by the context in use."""

from lepton_cli.models.decoder import Decoder


class Phi3(Decoder):
    """The fused matrices are in the file, and so are the factors of both contexts."""
