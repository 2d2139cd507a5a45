"""Hunyuan 4 (Tencent 2026): latent attention with sinks and gates, between several streams."""

from dataclasses import replace
from functools import cached_property

from lepton_cli.models.architectures.latent.deepseek32 import DeepSeek32
from lepton_cli.models.architectures.latent.streamed import Streamed
from lepton_cli.models.parts.feed_forward import Limit, Mixture
from lepton_cli.models.parts.latent import LatentAttention
from lepton_cli.models.parts.streams import Streams
from ops.interface import Array, Operators


class HyV4(Streamed, DeepSeek32):
    @cached_property
    def streams(self) -> Streams:
        return Streams(
            self.stream_count(),
            self.width,
            self.eps,
            self.keys.not_negative("hyper_connection.epsilon"),
            self.keys.not_negative("hyper_connection.magnitude"),
        )

    def final_norm(self, ops: Operators, x: Array) -> Array:
        [made_by] = self.streams.matrices(self.weights, "output_hc", self.streams.count)
        return super().final_norm(ops, self.streams.entering(ops, x, made_by))

    def latent(self, layer: int) -> LatentAttention:
        return replace(super().latent(layer), gate="sigmoid")

    def mixture(self, layer: int) -> Mixture:
        limit = Limit(self.keys.number_at("swiglu_clamp_exp", layer, 0.0), early=True)
        return replace(super().mixture(layer), limit=limit)

    def score_scale(self) -> float:
        return 1.0

    def log_multiplier(self) -> float:
        return 0.0
