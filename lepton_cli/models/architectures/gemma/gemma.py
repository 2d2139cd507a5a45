"""Gemma: scaled embeddings and a GeGLU."""

from lepton_cli.models.decoder import Decoder
from ops.interface import Array, Operators


class Gemma(Decoder):
    activation = "gelu"

    def embed(self, ops: Operators) -> Array:
        return ops.scale(super().embed(ops), self.width**0.5)
