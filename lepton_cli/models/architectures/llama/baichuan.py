"""Baichuan: Llama; its 13B has biases by distance in place of rotary positions."""

from lepton_cli.models.architectures.llama.llama import Llama
from lepton_cli.models.parts.attention import falling_slopes
from ops.interface import Rope


class Baichuan(Llama):
    @property
    def has_slopes(self) -> bool:
        """No key says so: the model of this depth has them."""
        return self.layers == 40

    def rope(self, layer: int) -> Rope | None:
        return None if self.has_slopes else self.global_rope

    def slopes(self, heads: int) -> tuple[float, ...] | None:
        return falling_slopes(heads, 8.0) if self.has_slopes else None
