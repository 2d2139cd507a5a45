"""Maincoder: Llama whose heads are normalised after they have turned."""

from dataclasses import replace

from lepton_cli.models.architectures.llama.llama import Llama
from lepton_cli.models.parts.attention import GroupedAttention


class Maincoder(Llama):
    has_head_norm = True

    def attention(self, layer: int) -> GroupedAttention:
        return replace(super().attention(layer), norm_last=True)
