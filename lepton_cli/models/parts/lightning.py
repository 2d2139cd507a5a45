"""Lightning attention (Qin et al. 2024): linear attention whose heads forget at fixed rates."""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from lepton_cli.models.parts.block import Norm, ones_like
from lepton_cli.models.weights import Layer, constant
from ops.interface import Array, Operators, Weight, check_widths


@dataclass(frozen=True, slots=True)
class Lightning:
    """The rows of each head are its query's, its key's and its value's.

    The results get a norm of whole rows and a gate of each element. It is a selective scan whose
    steps all have the size 1: `rates` are the logarithms of the heads' decays, `skip` is 0.
    """

    heads: int
    width: int  # of a head
    norm: Norm
    rates: Weight
    skip: Weight

    @classmethod
    def at_depth(cls, heads: int, width: int, norm: Norm, depth: float) -> Self:
        """`depth` is 0 for the first layer and 1 for the last; ALiBi's slopes grow less with it."""
        first = 2.0 ** -(2.0 ** -(math.log2(heads) - 3))
        rates = [-(first ** (n + 1)) * (1 - depth + 1e-5) for n in range(heads)]
        vectors = (np.array(each, np.float32) for each in (rates, [0.0] * heads))
        return cls(heads, width, norm, *(constant("lightning attention", each) for each in vectors))

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        rows = self.heads * self.width
        for each, count in ((w.attn_qkv, 3 * rows), (w.attn_gate, rows)):
            check_widths(each.weight.name, each.weight.rows, count)
        qkv = ops.activate(ops.linear(w.attn_qkv, x), "silu")  # (T, 3·H·d)
        starts = range(0, 3 * self.width, self.width)
        q, k, v = (ops.columns(qkv, n, n + self.width, 3 * self.width) for n in starts)
        ones = ones_like(ops, ops.columns(q, 0, self.heads))  # (T, H)
        y = ops.selective_scan(v, ones, k, q, self.rates, self.skip, self.heads)
        y = self.norm(ops, y, w.attn_norm_2)
        y = ops.multiply(y, ops.activate(ops.linear(w.attn_gate, x), "sigmoid"))
        output = replace(w.attn_output, scale=None)  # llama.cpp, whose arithmetic counts, has none
        return ops.linear(output, y)
