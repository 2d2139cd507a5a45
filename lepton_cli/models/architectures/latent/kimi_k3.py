"""Kimi K3 (Moonshot AI 2026): Kimi Linear whose mixers read what all earlier blocks made."""

from dataclasses import replace

from lepton_cli.models.architectures.latent.kimi import KimiLinear
from lepton_cli.models.parts.attention_residuals import AttentionResiduals
from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.parts.feed_forward import Dense, LatentMixture, Situ
from lepton_cli.models.parts.latent import LatentAttention
from lepton_cli.models.parts.recurrence import KimiDelta
from lepton_cli.models.weights import Layer
from ops.interface import Array, Operators


class KimiK3(KimiLinear):
    normalizes = None

    def through_blocks(self, ops: Operators, x: Array) -> Array:
        """What is new since the last of the kept rows goes on as x; every few layers it is kept."""
        mixed, kept = AttentionResiduals(self.width, self.eps), list[Array]()
        period = self.keys.positive("attn_res.block_size")
        for n in range(self.layers):
            own, w = ops.layer(n), Layer(self.weights, n)
            y = mixed(own, [*kept, x], w.attn_res_score)
            y = self.mixer(n)(own, self.norm(own, y, w.attn_norm), w)
            if n % period:
                x = own.add(x, y)
            else:
                kept, x = [*kept, x], y
            y = mixed(own, [*kept, x], w.ffn_res_score)
            x = own.add(x, self.channel(n)(own, self.norm(own, y, w.ffn_norm), w))
        last = [ops.select_outputs(row) for row in (*kept, x)]
        return mixed(ops, last, self.weights["output_res_score"])

    def mixer(self, layer: int) -> Mixer:
        mixer = super().mixer(layer)
        return replace(mixer, sign=-1.0) if isinstance(mixer, KimiDelta) else mixer

    def latent(self, layer: int) -> LatentAttention:
        gated = f"blk.{layer}.attn_gate" in self.weights
        return replace(super().latent(layer), gate="sigmoid" if gated else None)

    def lower_bound(self) -> float | None:
        return self.read_lower_bound() if "kda.gate_lower_bound" in self.keys else None

    def dense(self, suffix: str = "") -> Mixer:
        return Dense(self.activation, suffix=suffix, limit=self.situ())

    def mixture(self, layer: int) -> LatentMixture:
        return LatentMixture(
            self.routing(layer), self.activation, self.situ(), narrowed="ffn_routed", norm=self.norm
        )

    def situ(self) -> Situ:
        beta = self.keys.number("activation.situ_beta")
        if beta <= 0:
            raise self.keys.error("activation.situ_beta", f"is {beta}")
        return Situ(beta, self.keys.not_negative("activation.situ_linear_beta"))
