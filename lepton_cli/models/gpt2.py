"""GPT-2 (Radford et al. 2019): learned positions, layer norms, an ungated GELU."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.weights import Layer
from ops.interface import Array, Linear, Operators, Rope
from quant.errors import ModelFileError, UsageError


class Gpt2(Decoder):
    norm_eps = "layer_norm_epsilon"

    def embed(self, ops: Operators) -> Array:
        table = self.weights.weight("position_embd.weight")
        self.most_positions = table.rows
        if table.rows < self.context:
            message = f"{table.name} has {table.rows} rows for a context of {self.context}"
            kind = UsageError if self.context > self.parameters.context else ModelFileError
            raise kind(message, f"use -c {table.rows} or less")
        return ops.add(super().embed(ops), ops.embed_positions(table))

    def norm(self, ops: Operators, x: Array, w: Linear) -> Array:
        return ops.layer_norm(x, w, self.parameters.eps)

    def feed_forward(self, ops: Operators, x: Array, w: Layer) -> Array:
        return ops.linear(w.ffn_down, ops.activate(ops.linear(w.ffn_up, x), "gelu"))

    def read_rope(self) -> Rope | None:
        return None
