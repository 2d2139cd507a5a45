"""Phi 3 to 4: fused matrices, and long-rope factors chosen by the context in use."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.rope import read_scaling
from ops.interface import Rope


class Phi3(Decoder):
    ignored = frozenset({"rope_factors_long.weight", "rope_factors_short.weight"})

    def read_rope(self) -> Rope | None:
        """Short factors hold within the original context of a model that was stretched beyond."""
        rope = super().read_rope()
        original = read_scaling(self.keys).original_context
        short = self.context <= original < self.keys.positive("context_length")
        name = f"rope_factors_{'short' if short else 'long'}"
        if rope is None or name not in self.weights:
            return rope
        factor = self.keys.number("rope.scaling.attn_factor", 1.0)
        return self.turn(rope.frequencies / self.factors(f"{name}.weight"), factor)
