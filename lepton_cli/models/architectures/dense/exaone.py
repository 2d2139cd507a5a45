"""EXAONE 3 and 4 (LG), openPangu: Llama with half-split rotary positions.

EXAONE 4 has its norms behind the mixers, and local layers that alone turn.
"""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer, PostNorm
from lepton_cli.models.weights import FEED_FORWARD_SCALES
from ops.interface import Rope


class Exaone(Decoder):
    """Nothing else differs."""


class Pangu(Exaone):
    unapplied = FEED_FORWARD_SCALES


class ExaoneMoe(Exaone):
    """K-EXAONE: local layers alone turn; experts behind the first layers."""

    has_head_norm = True
    local_period, default_window = 4, 128
    has_gating_key, normalizes, has_shared_expert = True, None, True

    def rope(self, layer: int) -> Rope | None:
        return self.global_rope if self.is_local(layer) else None


class Exaone4(Exaone):
    has_head_norm = True
    local_period = 4
    windowed_layers, trained_window = 64, 4096  # the model of this depth has local layers

    @property
    def local_window(self) -> int:
        default = self.trained_window if self.layers == self.windowed_layers else 0
        return self.keys.integer("attention.sliding_window", default)

    def block(self, layer: int) -> Mixer:
        return PostNorm(self.mixer(layer), self.channel(layer), self.norm)

    def rope(self, layer: int) -> Rope | None:
        return self.global_rope if self.is_local(layer) or not self.local_window else None
