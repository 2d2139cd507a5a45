"""NeoBERT (Le Breton et al. 2025): a decoder's block in an encoder."""

from lepton_cli.models.decoder import Decoder


class NeoBert(Decoder):
    sees = "run"
    generates = False
    interleaved_rope = True
    output_norm = "enc.output_norm"
