"""Step 3.5 (StepFun 2026): a gate on each head, local layers, bounded gates of experts."""

from dataclasses import replace

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.attention import GroupedAttention
from lepton_cli.models.parts.block import Mixer, Sum
from lepton_cli.models.parts.feed_forward import SHARED, Dense, Limit, Mixture, Shared
from ops.interface import Rope


class BoundedGates(Decoder):
    """Lists bound the gates of each layer's experts, and those of dense and shared parts."""

    def channel(self, layer: int) -> Mixer:
        bound = self.bound("swiglu_clamp_shexp", layer)
        if f"blk.{layer}.ffn_gate_inp" not in self.weights:
            return Dense(self.activation, limit=bound)
        mixture = self.mixture(layer)
        if f"blk.{layer}.ffn_up{SHARED}" not in self.weights:
            return mixture
        return Sum(mixture, Shared(Dense(self.activation, suffix=SHARED, limit=bound)))

    def mixture(self, layer: int) -> Mixture:
        return replace(super().mixture(layer), limit=self.bound("swiglu_clamp_exp", layer))

    def bound(self, key: str, layer: int) -> Limit:
        return Limit(self.keys.number_at(key, layer, 0.0))


class Step35(BoundedGates):
    has_head_norm = None
    local_period, default_window = 1, None  # the file lists the local layers
    gating, has_gating_key, normalizes, has_shared_expert = "sigmoid", True, None, True

    def attention(self, layer: int) -> GroupedAttention:
        gated = f"blk.{layer}.attn_gate" in self.weights
        return replace(super().attention(layer), gate="sigmoid" if gated else None)

    def rope(self, layer: int) -> Rope | None:
        return self.local_rope if self.is_local(layer) else self.global_rope

    @property
    def rotary(self) -> int:
        """In layers that see all, half of what the file says."""
        return super().rotary // 2

    @property
    def local_rotary(self) -> int:
        return self.read_rotary("rope.dimension_count_swa", super().rotary)
