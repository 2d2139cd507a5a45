"""Chameleon (Meta 2024): text and picture tokens alike, of which only text is written."""

from dataclasses import replace
from functools import cached_property

import numpy as np

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.attention import GroupedAttention
from lepton_cli.models.parts.block import LayerNorm, Mixer, PostNorm
from ops.interface import Array, Linear, Operators, Weight
from quant.format import FORMATS


class Chameleon(Decoder):
    interleaved_rope = True
    head_eps = 1e-5  # whatever the file says
    pictures = slice(4, 8196)  # of the tokens

    def block(self, layer: int) -> Mixer:
        if not self.keys.boolean("swin_norm", False):
            return super().block(layer)
        return PostNorm(self.mixer(layer), self.channel(layer), self.norm, "attn_norm", "ffn_norm")

    def attention(self, layer: int) -> GroupedAttention:
        return replace(super().attention(layer), head_norm=LayerNorm(self.head_eps))

    def logits(self, ops: Operators, x: Array) -> Array:
        return ops.linear(self.text_output, x)

    @cached_property
    def text_output(self) -> Linear:
        """The output with a bias that rules pictures out."""
        tied = "output" not in self.weights
        output = self.weights["token_embd" if tied else "output"]
        tokens = output.weight.rows
        bias = np.zeros(tokens, np.float32)
        if tokens >= self.pictures.stop:
            bias[self.pictures] = np.finfo(np.float32).min
        data = bias.view(np.uint8).reshape(1, -1)
        return replace(output, bias=Weight("output.bias", FORMATS["F32"], tokens, data))
