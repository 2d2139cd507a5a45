"""gpt-oss: experts with a clamped SwiGLU, attention sinks, every other layer local."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.weights import Layer
from ops.interface import Array, Operators, Routing


class GptOss(Decoder):
    activation = "clamped_swiglu"
    ffn_norm = "post_attention_norm"  # its name notwithstanding, it stands before the experts

    def attend(self, ops: Operators, q: Array, k: Array, v: Array, w: Layer) -> Array:
        return ops.attention(q, k, v, self.heads(w.number), w.attn_sinks.weight)

    def window(self, layer: int) -> int | None:
        return self.keys.positive("attention.sliding_window") if layer % 2 == 0 else None

    def routing(self) -> Routing:
        p = self.parameters
        return Routing(p.experts, p.experts_used, "softmax_of_chosen")
