"""HRM-Text (Wang et al. 2025): two stacks of layers that take turns, slowly and fast.

The fast stack refines its state several times for each time that the slow one does; each run of a
layer has a cache of its own.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.attention import GroupedAttention
from lepton_cli.models.parts.block import BarePreNorm, Mixer
from lepton_cli.models.weights import FEED_FORWARD_SCALES, Layer, Weights
from ops.interface import Array, Linear, Operators


class HrmText(Decoder):
    unapplied = FEED_FORWARD_SCALES | {"attn_gate.scale"}

    def forward(self, ops: Operators) -> Array:
        slow, numbers = self.embed(ops), count()  # (T, D)
        ones = ops.activate(ops.scale(slow, 0.0), "exp")
        fast = ops.scale_by(ones, self.weights["hrm.z_l_init"])  # the same for every token
        for _ in range(self.slow_cycles):
            for _ in range(self.fast_cycles):
                fast = self.stack(ops, ops.add(slow, fast), 0, numbers)
            slow = self.stack(ops, ops.add(slow, fast), self.depth, numbers)
        return self.logits(ops, ops.select_outputs(slow))  # (O, V)

    def embed(self, ops: Operators) -> Array:
        return ops.scale(super().embed(ops), self.keys.not_negative("embedding_scale", 0.0) or 1.0)

    def stack(self, ops: Operators, x: Array, first: int, numbers: Iterator[int]) -> Array:
        """Through the layers from `first` on, which are called by the next of the numbers."""
        for n in range(first, first + self.depth):
            number = next(numbers)
            x = self.block(number)(ops.layer(number), x, Run(self.weights, n, number))
        return self.bare_norm(ops, x)

    def block(self, layer: int) -> Mixer:
        return BarePreNorm(self.mixer(layer), self.channel(layer), self.bare_norm)

    def attention(self, layer: int) -> GroupedAttention:
        return replace(super().attention(layer), gate="sigmoid")

    def bare_norm(self, ops: Operators, x: Array) -> Array:
        return ops.rms_norm(x, self.width, self.eps)

    @property
    def depth(self) -> int:
        """Layers of each stack; `block_count` says how often a layer is run in all."""
        depth = self.keys.positive("hrm.layers_per_stack")
        runs = depth * self.slow_cycles * (self.fast_cycles + 1)
        if self.layers != runs:
            raise self.keys.error("block_count", f"is {self.layers} with {runs} runs of layers")
        return depth

    @property
    def further_blocks(self) -> range:
        """Runs of layers that are in the file already."""
        return range(2 * self.depth, self.layers)

    @property
    def slow_cycles(self) -> int:
        return self.keys.positive("hrm.h_cycles")

    @property
    def fast_cycles(self) -> int:
        return self.keys.positive("hrm.l_cycles")


class Run(Layer):
    """A layer's tensors; llama.cpp takes their scales from the block of the run's number."""

    def __init__(self, weights: Weights, number: int, run: int) -> None:
        super().__init__(weights, number)
        self._run = run

    def __getitem__(self, name: str) -> Linear:
        linear = super().__getitem__(name)
        if linear.scale is None:
            return linear
        return replace(linear, scale=self._weights.first([f"blk.{self._run}.{name}.scale"]))
