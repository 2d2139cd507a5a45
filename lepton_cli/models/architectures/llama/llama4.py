"""Llama 4 (Meta 2025): three layers in four see chunks of positions; only they turn."""

from dataclasses import dataclass, replace

from lepton_cli.models.architectures.llama.llama import Llama
from lepton_cli.models.parts.attention import GroupedAttention, Temperature
from lepton_cli.models.parts.feed_forward import InputMixture, Mixture
from lepton_cli.models.weights import Layer
from ops.interface import Array, Heads, Operators, Rope


@dataclass(frozen=True, slots=True)
class BareNormAttention(GroupedAttention):
    """Heads of q and k have norms without weights."""

    eps: float = 0.0

    def normalized(self, ops: Operators, q: Array, k: Array, w: Layer) -> tuple[Array, Array]:
        width = self.heads.head_width
        return ops.rms_norm(q, width, self.eps), ops.rms_norm(k, width, self.eps)


class Llama4(Llama):
    gating, normalizes, has_shared_expert = "sigmoid", False, True
    chunk, chunk_period = 8192, 4
    maverick_experts = 128  # the model of so many has no norms of heads
    temperature = Temperature(0.1, 8192, 1)

    def attention(self, layer: int) -> GroupedAttention:
        if not self.turns(layer):
            return replace(super().attention(layer), temperature=self.temperature)
        if self.experts == self.maverick_experts:
            return super().attention(layer)
        return BareNormAttention(self.heads(layer), self.rope(layer), norm_last=True, eps=self.eps)

    def mixture(self, layer: int) -> Mixture:
        return InputMixture(self.routing(layer), self.activation)

    def heads(self, layer: int) -> Heads:
        return replace(super().heads(layer), chunked=True)

    def window(self, layer: int) -> int | None:
        return self.chunk if self.has_chunks and self.turns(layer) else None

    def rope(self, layer: int) -> Rope | None:
        return self.global_rope if self.turns(layer) else None

    def turns(self, layer: int) -> bool:
        """All but the last of each period; without chunks, all but the last layer."""
        return (layer + 1) % (self.chunk_period if self.has_chunks else self.layers) != 0

    @property
    def has_chunks(self) -> bool:
        """Their size is the same, whatever number the key has."""
        return self.keys.integer("attention.sliding_window", self.chunk) > 0
