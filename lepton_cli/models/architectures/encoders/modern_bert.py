"""ModernBERT (Warner et al. 2024): norms before the mixers, rotary positions, local layers."""

from dataclasses import dataclass

from lepton_cli.models.classifier import Classifier
from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer, PreNorm
from lepton_cli.models.parts.feed_forward import Dense
from lepton_cli.models.weights import Layer
from ops.interface import Activation, Array, Operators, Rope

ACTIVATIONS: dict[str, Activation] = {"gelu": "gelu", "silu": "silu"}


class ModernBert(Decoder):
    sees = "run"
    generates = False
    has_layer_norms = True
    has_norm_biases = False
    local_period, global_first = 3, True
    classifier = Classifier("gelu", reads_mean=True)

    def embed(self, ops: Operators) -> Array:
        return self.norm(ops, super().embed(ops), self.weights["token_embd_norm"])

    def block(self, layer: int) -> Mixer:
        parts = self.mixer(layer), self.channel(layer), self.norm
        return PreNorm(*parts) if f"blk.{layer}.attn_norm" in self.weights else Entering(*parts)

    def dense(self, suffix: str = "") -> Mixer:
        kind = self.keys.string("hidden_activation", "gelu")
        if kind not in ACTIVATIONS:
            raise self.keys.error("hidden_activation", f"is {kind!r}: not supported yet")
        return Dense(ACTIVATIONS[kind], suffix=suffix)

    def rope(self, layer: int) -> Rope | None:
        return self.global_rope if self.window(layer) is None else self.local_rope


@dataclass(frozen=True, slots=True)
class Entering(PreNorm):
    """The first block, which the norm of the embedding stands before."""

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        x = ops.add(x, self.mixer(ops, x, w))
        return ops.add(x, self.channel(ops, self.norm(ops, x, w[self.ffn_norm]), w))
