"""BitNet b1.58 (Ma et al. 2024): one more norm inside each branch, before its last matrix."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.weights import Layer
from ops.interface import Array, Operators
from quant.gguf import GGUF


class BitNet(Decoder):
    def __init__(self, file: GGUF, context: int) -> None:
        super().__init__(file, context)
        activation = self.keys.string("hidden_act", "silu")
        if activation != "silu":
            raise self.keys.error("hidden_act", f"is {activation!r}: not supported yet")

    def attend(self, ops: Operators, q: Array, k: Array, v: Array, w: Layer) -> Array:
        return self.norm(ops, super().attend(ops, q, k, v, w), w.attn_sub_norm)

    def feed_forward(self, ops: Operators, x: Array, w: Layer) -> Array:
        gate, up = ops.linear(w.ffn_gate, x), ops.linear(w.ffn_up, x)
        inner = self.norm(ops, ops.gate(gate, up, self.activation), w.ffn_sub_norm)
        return ops.linear(w.ffn_down, inner)
