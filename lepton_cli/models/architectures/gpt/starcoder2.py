"""StarCoder 2, CodeShell, PocketTTS: GPT-2 with rotary positions in place of a table."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.parts.feed_forward import Ungated
from lepton_cli.models.weights import FEED_FORWARD_SCALES
from ops.interface import Weight


class StarCoder2(Decoder):
    has_layer_norms = True

    def channel(self, layer: int) -> Mixer:
        return Ungated("gelu")


class PocketTts(StarCoder2):
    interleaved_rope = True
    unapplied = FEED_FORWARD_SCALES


class CodeShell(StarCoder2):
    @property
    def embedding(self) -> Weight:
        """Files may hold one matrix for both ends, under the name of the output."""
        tied = "token_embd" not in self.weights
        return self.weights.weight("output.weight") if tied else super().embedding
