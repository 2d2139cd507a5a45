"""RWKV 6 and 7 (Peng et al. 2024, 2025), and Qwens whose attention they replace."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer, Scaled
from lepton_cli.models.parts.rwkv import ChannelMix6, ChannelMix7, GatedLinear, TimeMix6, TimeMix7
from lepton_cli.models.weights import Layer
from ops.interface import Array, Operators


class Rwkv6(Decoder):
    """Files divide what later layers add; the rows are halved with it."""

    has_layer_norms = True
    ffn_norm = "attn_norm_2"

    def embed(self, ops: Operators) -> Array:
        return self.norm(ops, super().embed(ops), self.weights["token_embd_norm"])

    def block(self, layer: int) -> Mixer:
        period = self.keys.integer("rescale_every_n_layers", 0)
        halved = period > 0 and (layer + 1) % period == 0
        return Scaled(super().block(layer), 0.5) if halved else super().block(layer)

    def mixer(self, layer: int) -> Mixer:
        return TimeMix6(self.keys.positive("wkv.head_size"))

    def channel(self, layer: int) -> Mixer:
        return ChannelMix6()


class Rwkv6Qwen2(Decoder):
    def mixer(self, layer: int) -> Mixer:
        return GatedLinear(self.keys.positive("wkv.head_size"))


class Rwkv7(Decoder):
    """Later layers mix the first layer's values into their own."""

    has_layer_norms = True
    ffn_norm = "attn_norm_2"
    ignored = frozenset(f"blk.0.time_mix_v{n}.weight" for n in range(3))

    def embed(self, ops: Operators) -> Array:
        return self.norm(ops, super().embed(ops), self.weights["token_embd_norm"])

    def forward(self, ops: Operators) -> Array:
        x, first = self.embed(ops), None
        mix = TimeMix7(self.keys.positive("wkv.head_size"))
        for n in range(self.layers):
            here, w = ops.layer(n), Layer(self.weights, n)
            y, values = mix(here, self.norm(here, x, w.attn_norm), w, first)
            first, x = values if n == 0 else first, here.add(x, y)
            y = self.channel(n)(here, self.norm(here, x, w[self.ffn_norm]), w)
            x = self.steered(here, here.add(x, y), n)
        return self.logits(ops, self.final_norm(ops, ops.select_outputs(x)))

    def channel(self, layer: int) -> Mixer:
        return ChannelMix7()


class Arwkv7(Rwkv7):
    has_layer_norms = False
    ffn_norm = "ffn_norm"

    def embed(self, ops: Operators) -> Array:
        return Decoder.embed(self, ops)

    def channel(self, layer: int) -> Mixer:
        return Decoder.channel(self, layer)
