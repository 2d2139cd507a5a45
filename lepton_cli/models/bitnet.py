"""BitNet b1.58 (Ma et al. 2024): one more norm inside each branch, before its last matrix."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.weights import Layer
from ops.interface import Array, Operators


class BitNet(Decoder):
    def attend(self, ops: Operators, q: Array, k: Array, v: Array, w: Layer) -> Array:
        return self.norm(ops, super().attend(ops, q, k, v, w), w.attn_sub_norm)

    def feed_forward(self, ops: Operators, x: Array, w: Layer) -> Array:
        gate, up = ops.linear(w.ffn_gate, x), ops.linear(w.ffn_up, x)
        inner = self.norm(ops, ops.gate(gate, up, self.activation), w.ffn_sub_norm)
        return ops.linear(w.ffn_down, inner)
