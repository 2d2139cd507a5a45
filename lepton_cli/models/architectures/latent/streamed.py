"""Decoders with several residual streams, which all begin as the embedding."""

from functools import cached_property

from lepton_cli.models.architectures.local_mixtures.step35 import BoundedGates
from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.parts.feed_forward import Limit
from lepton_cli.models.parts.streams import MixingStreams, StreamBlock, Streams
from ops.interface import Array, Operators

MAX_STREAMS, MAX_ITERATIONS = 64, 1000


class Streamed(Decoder):
    has_next_token = False  # further blocks read streams

    @cached_property
    def streams(self) -> Streams:
        raise NotImplementedError

    def stream_count(self) -> int:
        count = self.keys.positive("hyper_connection.count")
        if count > MAX_STREAMS:
            raise self.keys.error("hyper_connection.count", f"is {count}")
        return count

    def embed(self, ops: Operators) -> Array:
        return ops.join([super().embed(ops)] * self.stream_count())

    def block(self, layer: int) -> Mixer:
        return StreamBlock(self.mixer(layer), self.channel(layer), self.norm, self.streams)


class MixedStreams(Streamed, BoundedGates):
    """Streams are mixed; all gates are bounded before their activation."""

    @cached_property
    def streams(self) -> Streams:
        keys, iterations = self.keys, self.keys.positive("hyper_connection.sinkhorn_iterations")
        if iterations > MAX_ITERATIONS:
            raise keys.error("hyper_connection.sinkhorn_iterations", f"is {iterations}")
        eps = keys.not_negative("hyper_connection.epsilon")
        return MixingStreams(self.stream_count(), self.width, self.eps, eps, 2.0, iterations)

    def bound(self, key: str, layer: int) -> Limit:
        """Without bounds of their own, shared experts and dense parts have those of experts."""
        known = key if key in self.keys else "swiglu_clamp_exp"
        return Limit(self.keys.number_at(known, layer, 0.0), early=True)
