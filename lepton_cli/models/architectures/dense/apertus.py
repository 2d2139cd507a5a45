"""Apertus (ETH and EPFL 2025): normalised heads, an ungated feed-forward part with xIELU."""

import math
from dataclasses import dataclass

import numpy as np

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.weights import Layer
from ops.interface import Array, Operators
from quant.errors import ModelFileError


class Apertus(Decoder):
    has_head_norm = True
    unapplied = frozenset({"attn_q_norm.bias", "attn_k_norm.bias"})

    def channel(self, layer: int) -> Mixer:
        names = ("xielu.alpha_p", "xielu.alpha_n", "xielu.beta")
        return Xielu(*(self.number_at(name, layer) for name in names))

    def number_at(self, key: str, layer: int) -> float:
        """Of a key without prefix: the model's number, or an entry of the layers' list."""
        metadata, blocks = self.keys.metadata, self.keys.integer("block_count")
        value = metadata.get(key)
        if isinstance(value, np.ndarray) and (len(value) != blocks or value.dtype.kind != "f"):
            message = f"the key {key} has {len(value)} entries for {blocks} layers"
            raise ModelFileError(message)
        number = float(value[layer]) if isinstance(value, np.ndarray) else metadata.number(key)
        if not math.isfinite(number):
            raise ModelFileError(f"the key {key} is {number}")
        return number


@dataclass(frozen=True, slots=True)
class Xielu:
    """down(f(up x)) with f(x) = p·x² + b·x, below 0 n·(eˣ − 1 − x) + b·x (Huang 2024)."""

    positive: float
    negative: float
    beta: float

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        y = ops.linear(w.ffn_up, x)  # (T, F)
        above = ops.scale(ops.activate(y, "squared_relu"), self.positive)
        below = ops.scale(ops.activate(y, "elu"), self.negative)  # above 0 as much as comes off
        straight = ops.scale(y, self.beta - self.negative)
        return ops.linear(w.ffn_down, ops.add(ops.add(above, below), straight))
