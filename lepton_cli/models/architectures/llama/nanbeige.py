"""Nanbeige: Llama whose stack of layers is gone through several times, with a cache each time."""

from dataclasses import replace

from lepton_cli.models.architectures.llama.llama import Llama
from lepton_cli.models.keys import MAX_LAYERS
from lepton_cli.models.weights import Layer
from ops.interface import Array, Heads, Operators


class Nanbeige(Llama):
    def forward(self, ops: Operators) -> Array:
        x = self.embed(ops)  # (T, D)
        for turn in range(self.turns):
            if turn and not self.skips_norm:
                x = self.final_norm(ops, x)
            for n in range(turn * self.layers, (turn + 1) * self.layers):
                x = self.block(n)(ops.layer(n), x, Layer(self.weights, n % self.layers))
        return self.logits(ops, self.final_norm(ops, ops.select_outputs(x)))  # (O, V)

    def heads(self, layer: int) -> Heads:
        return replace(super().heads(layer % self.layers), layer=layer)

    @property
    def turns(self) -> int:
        turns = self.keys.positive("num_loops", 1)
        if turns * self.layers > MAX_LAYERS:
            raise self.keys.error("num_loops", f"is {turns} with {self.layers} layers")
        return turns

    @property
    def skips_norm(self) -> bool:
        """Between two turns."""
        return self.keys.boolean("skip_loop_final_norm", False)
