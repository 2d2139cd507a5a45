"""EXAONE 3 and 4, K-EXAONE (LG), openPangu: first Llama with half-split rotary positions."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer, PostNorm
from lepton_cli.models.weights import FEED_FORWARD_SCALES
from ops.interface import Rope


class Exaone(Decoder):
    """Files may divide frequencies by a tensor, as Llama's do."""


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
    """Norms stand behind the mixers; of models with local layers only those turn."""

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
