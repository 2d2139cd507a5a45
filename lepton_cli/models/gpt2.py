"""GPT-2 (Radford et al. 2019): learned positions, layer norms, an ungated GELU."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.weights import Layer
from ops.interface import Array, Linear, Operators, Rope


class Gpt2(Decoder):
    norm_eps = "layer_norm_epsilon"

    def embed(self, ops: Operators) -> Array:
        positions = ops.embed_positions(self.weights["position_embd"].weight)
        return ops.add(super().embed(ops), positions)

    def norm(self, ops: Operators, x: Array, w: Linear) -> Array:
        return ops.layer_norm(x, w, self.parameters.eps)

    def feed_forward(self, ops: Operators, x: Array, w: Layer) -> Array:
        return ops.linear(w.ffn_down, ops.activate(ops.linear(w.ffn_up, x), "gelu"))

    def read_rope(self) -> Rope | None:
        return None
