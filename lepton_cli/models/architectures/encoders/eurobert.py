"""EuroBERT (Boizard et al. 2025): Llama that sees whole texts."""

from lepton_cli.models.decoder import Decoder


class EuroBert(Decoder):
    sees = "run"
    generates = False
