"""Phi 3 to 4: fused matrices, and long-rope factors chosen by the context in use."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.rope import read_scaling
from lepton_cli.models.weights import Layer
from ops.interface import Array, Operators, Rope, check_widths


class Phi3(Decoder):
    """`ffn_up` holds the gate's rows, then the up projection's."""

    ignored = frozenset({"rope_factors_long.weight", "rope_factors_short.weight"})

    def read_rope(self) -> Rope | None:
        """Short factors hold within the original context of a model that was stretched beyond."""
        rope = super().read_rope()
        original = read_scaling(self.keys).original_context
        short = self.context <= original < self.parameters.context
        name = f"rope_factors_{'short' if short else 'long'}"
        if rope is None or name not in self.weights:
            return rope
        factor = self.keys.number("rope.scaling.attn_factor", 1.0)
        return self.turn(rope.frequencies / self.factors(f"{name}.weight"), factor)

    def feed_forward(self, ops: Operators, x: Array, w: Layer) -> Array:
        half = w.ffn_down.weight.columns
        check_widths(w.ffn_up.weight.name, w.ffn_up.weight.rows, 2 * half)
        gate = ops.linear(w.ffn_up.part(0, half), x)  # (T, F)
        up = ops.linear(w.ffn_up.part(half, 2 * half), x)
        return ops.linear(w.ffn_down, ops.gate(gate, up, self.activation))
