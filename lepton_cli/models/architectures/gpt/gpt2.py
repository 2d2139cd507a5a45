"""GPT-2 (Radford et al. 2019): learned positions, layer norms, an ungated GELU."""

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.parts.feed_forward import Ungated
from ops.interface import Array, Operators, Rope
from quant.errors import ModelFileError, UsageError


class Gpt2(Decoder):
    has_layer_norms = True

    def embed(self, ops: Operators) -> Array:
        table = self.weights.weight("position_embd.weight")
        if table.rows < self.context:
            message = f"{table.name} has {table.rows} rows for a context of {self.context}"
            trained = self.keys.positive("context_length")
            kind = UsageError if self.context > trained else ModelFileError
            raise kind(message, f"use -c {table.rows} or less")
        return ops.add(super().embed(ops), ops.embed_positions(table))

    def channel(self, layer: int) -> Mixer:
        return Ungated("gelu")

    def rope(self, layer: int) -> Rope | None:
        return None
