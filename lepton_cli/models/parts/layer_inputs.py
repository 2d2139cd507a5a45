"""Embeddings that each layer has of its own (Gemma 3n, 2025)."""

from dataclasses import dataclass

from lepton_cli.models.parts.block import RmsNorm
from lepton_cli.models.weights import Layer, Weights
from ops.interface import Array, Operators, check_widths


@dataclass(frozen=True, slots=True)
class LayerInputs:
    """A second table has `width` columns for each layer, which enter behind the block's mixers."""

    layers: int
    width: int
    norm: RmsNorm

    def of_all_layers(self, ops: Operators, x: Array, weights: Weights, width: int) -> Array:
        """(T, D) embeddings, D the `width` of the model -> (T, L·P): the table's rows among them.

        (rms(proj x / √D) + √P · row) / √2.
        """
        table, columns = weights.weight("per_layer_token_embd.weight"), self.layers * self.width
        matrix, norm = weights["per_layer_model_proj"], weights["per_layer_proj_norm"]
        check_widths(table.name, table.columns, columns)
        check_widths(matrix.weight.name, matrix.weight.rows, columns)
        projected = ops.linear(matrix, ops.scale(x, width**-0.5))
        projected = self.norm(ops, projected, norm, self.width)
        rows = ops.scale(ops.embed(table), self.width**0.5)
        return ops.scale(ops.add(projected, rows), 2**-0.5)

    def gated(self, ops: Operators, x: Array, inputs: Array, w: Layer) -> Array:
        """(T, D), (T, L·P) -> (T, D): what the layer's columns add to x."""
        start = w.number * self.width
        own = ops.columns(inputs, start, start + self.width)
        y = ops.gate(ops.linear(w.inp_gate, x), own, "gelu")  # (T, P)
        return self.norm(ops, ops.linear(w.proj, y), w.post_norm)
