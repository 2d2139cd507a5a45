"""Mistral Small 3 and Ministral 3: Llama with YaRN and queries that grow with the position."""

from lepton_cli.models.llama import Llama
from lepton_cli.models.rope import read_scaling
from lepton_cli.models.weights import Layer
from ops.interface import Array, Operators


class Mistral3(Llama):
    def attend(self, ops: Operators, q: Array, k: Array, v: Array, w: Layer) -> Array:
        scale = self.keys.number("attention.temperature_scale", 0.0)
        if scale:
            q = ops.temperature(q, scale, read_scaling(self.keys).original_context)
        return super().attend(ops, q, k, v, w)
