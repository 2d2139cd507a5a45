"""Falcon-H1 (TII 2025): attention and Mamba-2 side by side in every block."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer, Sum
from lepton_cli.models.parts.state_space import Mamba2
from lepton_cli.models.rope import Frequencies


class FalconH1(Decoder):
    """The multipliers of the published models are part of the weights."""

    ignored = frozenset({"rope_freqs.weight"})
    unapplied = frozenset({"attn_output.bias"})

    def mixer(self, layer: int) -> Mixer:
        return Sum(self.attention(layer), Mamba2.read(self.keys, self.norm, always_norms=False))

    def rope_divisors(self) -> Frequencies | None:
        return None
