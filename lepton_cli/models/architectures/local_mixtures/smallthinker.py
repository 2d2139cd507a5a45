"""SmallThinker (2025): the router reads what enters the block, before attention."""

from dataclasses import dataclass

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer, Norm
from lepton_cli.models.parts.feed_forward import Mixture
from lepton_cli.models.weights import Layer
from ops.interface import Array, Operators, Rope


@dataclass(frozen=True, slots=True)
class EarlyRouting:
    """A pre-norm block whose experts are chosen by its input."""

    mixer: Mixer
    mixture: Mixture
    norm: Norm

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        chosen = self.mixture.choose(ops, x, w)
        x = ops.add(x, self.mixer(ops, self.norm(ops, x, w.attn_norm), w))
        return ops.add(x, self.mixture.sum_of(ops, self.norm(ops, x, w.ffn_norm), chosen, w))


class SmallThinker(Decoder):
    activation = "relu"
    has_gating_key = True
    window_where_any = 4096  # whatever the key's number

    def block(self, layer: int) -> Mixer:
        return EarlyRouting(self.mixer(layer), self.mixture(layer), self.norm)

    def is_local(self, layer: int) -> bool:
        """By the key's list, or three layers behind each first of four."""
        key = "attention.sliding_window_pattern"
        if key in self.keys:
            return self.keys.at(key, layer) != 0
        return layer % 4 != 0

    def window(self, layer: int) -> int | None:
        has_windows = "attention.sliding_window" in self.keys
        return self.window_where_any if has_windows and self.is_local(layer) else None

    def rope(self, layer: int) -> Rope | None:
        has_windows = "attention.sliding_window" in self.keys
        return None if has_windows and layer % 4 == 0 else self.global_rope
