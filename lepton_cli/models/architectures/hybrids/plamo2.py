"""PLaMo 2 (PFN 2025): state spaces and attention in turn, norms before and behind each mixer."""

from dataclasses import dataclass
from typing import ClassVar

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer, SandwichNorm
from lepton_cli.models.parts.state_space import Mamba
from lepton_cli.models.weights import Layer
from ops.interface import Array, Operators, check_widths


@dataclass(frozen=True, slots=True)
class HeadedMamba(Mamba):
    """Mamba with heads of one rate of decay and one step size, all with the same b and c.

    Each head's rows of the first matrix are its gate's and then its values'.
    """

    order: ClassVar[tuple[str, ...]] = ("b", "c", "dt")

    heads: int = 1

    def enter(self, ops: Operators, x: Array, w: Layer) -> tuple[Array, Array]:
        check_widths(w.ssm_in.weight.name, w.ssm_in.weight.rows, 2 * self.width)
        both, width = ops.linear(w.ssm_in, x), self.width // self.heads
        gate, values = (ops.columns(both, n, n + width, 2 * width) for n in (0, width))
        return values, gate


class Plamo2(Decoder):
    has_head_norm = True

    def block(self, layer: int) -> Mixer:
        return SandwichNorm(self.mixer(layer), self.channel(layer), self.norm)

    def mixer(self, layer: int) -> Mixer:
        if self.keys.at("attention.head_count_kv", layer):
            return self.attention(layer)
        return HeadedMamba(
            width=self.keys.positive("ssm.inner_size"),
            rank=max(64, self.width // 16),
            rows=self.keys.positive("ssm.state_size"),
            taps=self.keys.positive("ssm.conv_kernel"),
            inner_eps=self.eps,
            has_inner_weights=True,
            has_bias=False,
            heads=self.keys.positive("ssm.time_step_rank"),
        )

    def attention_scale(self, layer: int) -> float:
        width = self.keys.positive_at("attention.value_length", layer, self.head_width(layer))
        return float(width**-0.5)
