"""PLM (2025): latent attention without a low rank of queries; a squared ReLU."""

from lepton_cli.models.architectures.latent.deepseek2 import DeepSeek2
from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.parts.feed_forward import Ungated
from lepton_cli.models.rope import Yarn


class ExpandedLatent(DeepSeek2):
    """Of dense models, whose keys and values are kept for each head."""

    def head_widths(self, layer: int) -> tuple[int, int]:
        width = self.head_width(layer)
        return width, self.keys.positive("attention.value_length", width)

    def score_scale(self) -> float:
        return 1.0

    @property
    def yarn(self) -> Yarn:
        return Yarn()


class Plm(ExpandedLatent):
    def dense(self, suffix: str = "") -> Mixer:
        return Ungated("squared_relu", suffix)
