"""DeepSeek V4 (2026): attention over a window and over compressed positions, mixed streams.

An indexer selects compressed positions where four tokens make one. Up to `attention.indexer.top_k`
of them it selects all; here every one is seen.
"""

from functools import cached_property

from lepton_cli.models.architectures.latent.streamed import MixedStreams
from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.parts.compressed import CompressedAttention, Compression, ListedMixture
from lepton_cli.models.parts.feed_forward import Mixture
from lepton_cli.models.rope import plain, scaled
from lepton_cli.models.weights import Layer, constant
from ops.interface import Array, Heads, Operators, Rope, Weight

PARTS = {4: 2, 128: 1}
"""Of the rows that are compressed, by how many tokens one stands for."""

UNUSED = (
    *("exp_probs_b_vl", "indexer.proj", "indexer.attn_q_b", "indexer_compressor_kv"),
    *("indexer_compressor_gate", "indexer_compressor_ape", "indexer_compressor_norm"),
)


class DeepSeek4(MixedStreams):
    interleaved_rope = True
    has_gating_key, has_shared_expert, normalizes = True, True, None

    def mixer(self, layer: int) -> Mixer:
        Layer(self.weights, layer).leave_out(*UNUSED)
        keys, width, heads = self.keys, self.head_width(layer), self.keys.heads_at(layer)
        groups = keys.positive("attention.output_group_count")
        if heads % groups:
            raise keys.error("attention.output_group_count", f"is {groups} of {heads} heads")
        return CompressedAttention(
            heads=Heads(
                layer=layer,
                query_heads=heads,
                kv_heads=1,
                head_width=width,
                scale=self.attention_scale(layer),
                window=keys.positive("attention.sliding_window"),
                value_width=width,
                keys_hold_values=True,
            ),
            rope=self.rope_of(layer),
            norm=self.norm,
            eps=self.eps,
            groups=groups,
            compression=self.compression(layer),
        )

    def ratio(self, layer: int) -> int:
        """How many tokens a compressed row stands for; 0 for none. Lists may be longer."""
        ratios = self.keys.integers("attention.compress_ratios")
        if len(ratios) < self.layers:
            complaint = f"has {len(ratios)} entries for {self.layers} layers"
            raise self.keys.error("attention.compress_ratios", complaint)
        if ratios[layer] and ratios[layer] not in PARTS:
            raise self.keys.error("attention.compress_ratios", f"holds {ratios[layer]}")
        return ratios[layer]

    def compression(self, layer: int) -> Compression | None:
        ratio = self.ratio(layer)
        return Compression(ratio, PARTS[ratio], self.layers + layer) if ratio else None

    def rope_of(self, layer: int) -> Rope:
        """Layers with compressed rows turn from another base, stretched, without a magnitude."""
        if self.ratio(layer):
            base = self.keys.rope_base("attention.compress_rope_freq_base")
            frequencies, _ = scaled(self.keys, base, self.rotary, self.yarn)
        else:
            frequencies = plain(self.rope_base(), self.rotary)
        return Rope(frequencies, self.rotary, self.interleaved_rope)

    def mixture(self, layer: int) -> Mixture:
        mixture = super().mixture(layer)
        if layer >= self.keys.integer("hash_layer_count"):
            return mixture
        return ListedMixture(
            mixture.routing, mixture.activation, mixture.limit, table=self.lists[layer]
        )

    @cached_property
    def lists(self) -> list[Weight]:
        """The experts of each token, in the layers that do not choose any."""
        names = [
            f"blk.{n}.ffn_gate_tid2eid.weight" for n in range(self.keys.integer("hash_layer_count"))
        ]
        return [constant(name, self.weights.integers(name, self.experts)) for name in names]

    def final_norm(self, ops: Operators, x: Array) -> Array:
        [made_by] = self.streams.matrices(self.weights, "output_hc", self.streams.count)
        return super().final_norm(ops, self.streams.entering(ops, x, made_by))
