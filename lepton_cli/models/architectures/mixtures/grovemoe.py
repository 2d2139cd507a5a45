"""GroveMoE (Wu et al. 2025): Qwen 3's experts, and small ones that groups of neighbours share."""

from dataclasses import dataclass, replace

from lepton_cli.models.architectures.qwen.qwen3 import Qwen3
from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.parts.feed_forward import Mixture
from lepton_cli.models.weights import Layer
from ops.interface import Array, Operators


@dataclass(frozen=True, slots=True)
class Grove:
    """Experts, and what smaller ones, of the same router, make of their result, times `scale`."""

    experts: Mixture
    shared: Mixture
    scale: float

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        logits = ops.linear(w.ffn_gate_inp, x)
        y = self.experts.sum_of(ops, x, ops.route(logits, self.experts.routing), w)
        more = self.shared.sum_of(ops, y, ops.route(logits, self.shared.routing), w)
        return ops.add(y, ops.scale(more, self.scale))


class GroveMoe(Qwen3):
    def channel(self, layer: int) -> Mixer:
        """Raises ModelFileError for experts that do not fall into groups."""
        keys, experts = self.keys, self.mixture(layer)
        routing, neighbours = experts.routing, keys.positive("experts_per_group")
        if routing.total % neighbours:
            raise keys.error("experts_per_group", f"is {neighbours} of {routing.total} experts")
        used = min(routing.used, routing.total // neighbours)
        shared = replace(routing, used=used, neighbours=neighbours)
        scale = keys.not_negative("expert_group_scale")
        return Grove(experts, replace(experts, routing=shared, suffix="_chexps"), scale)
