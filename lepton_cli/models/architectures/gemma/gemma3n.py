"""Gemma 3n: four streams, low-rank paths beside attention, sparse gates, inputs of each layer."""

from dataclasses import dataclass, replace

from lepton_cli.models.architectures.gemma.gemma3 import Gemma3
from lepton_cli.models.parts.alternating_updates import AlternatingUpdates
from lepton_cli.models.parts.block import Mixer, RmsNorm
from lepton_cli.models.parts.feed_forward import Dense
from lepton_cli.models.parts.layer_inputs import LayerInputs
from lepton_cli.models.parts.reading_attention import ReadingAttention, kept_by
from lepton_cli.models.weights import Layer
from ops.interface import Array, Heads, Operators

STREAMS = 4
OWN_LAYERS = 20  # with keys and values, in files that do not say
SPARSE_LAYERS, DEVIATIONS = 10, 1.6448533535003662  # 95 % of a normal distribution lie below


class Gemma3n(Gemma3):
    """All published models agree in the numbers above."""

    local_period = 5
    final_softcap = 30.0

    def forward(self, ops: Operators) -> Array:
        norm = RmsNorm(self.eps)
        streams = AlternatingUpdates(STREAMS, self.width, norm)
        width = self.keys.positive("embedding_length_per_layer_input")
        parts = LayerInputs(self.layers, width, norm)
        first = self.embed(ops)  # (T, D)
        inputs = parts.of_all_layers(ops, first, self.weights, self.width)  # (T, L*P)
        x = streams.opened(ops, first, self.weights["altup_proj"])  # (T, S*D)
        for n, block in enumerate(self.blocks):
            at, w = ops.layer(n), Layer(self.weights, n)
            guess = streams.guessed(at, x, w)
            x = streams.corrected(at, guess, block(at, streams.first(at, guess), w), w)
            scaled = at.scale_by(streams.first(at, x), w.altup_correct_scale)
            x = streams.added_to_others(at, x, parts.gated(at, scaled, inputs, w))
        x = streams.closed(ops, ops.select_outputs(x), self.weights["altup_unembd_proj"])  # (O, D)
        return self.logits(ops, norm(ops, x, self.weights[self.output_norm]))  # (O, V)

    def block(self, layer: int) -> Mixer:
        sparse = layer < SPARSE_LAYERS
        channel = SparseDense() if sparse else Dense(self.activation)
        return LaurelBlock(self.mixer(layer), channel, RmsNorm(self.eps))

    def mixer(self, layer: int) -> Mixer:
        return ReadingAttention(self.heads(layer), self.rope(layer), RmsNorm(self.eps))

    @property
    def own_layers(self) -> int:
        """How many layers have keys and values; those behind read theirs."""
        most = max(0, self.layers - OWN_LAYERS)
        return self.layers - self.keys.integer("attention.shared_kv_layers", most)

    def heads(self, layer: int) -> Heads:
        reads = kept_by(layer, self.own_layers, self.is_local)
        return replace(super().heads(layer), layer=reads)

    def attention_scale(self, layer: int) -> float:
        return 1.0


@dataclass(frozen=True, slots=True)
class LaurelBlock:
    """Attention beside a path of low rank, whose results are averaged (Menghani et al. 2025)."""

    mixer: Mixer
    channel: Mixer
    norm: RmsNorm

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        entering = self.norm(ops, x, w.attn_norm)
        path = ops.linear(w.laurel_r, ops.linear(w.laurel_l, entering))
        path = ops.add(entering, self.norm(ops, path, w.laurel_post_norm))
        y = self.norm(ops, self.mixer(ops, entering, w), w.post_attention_norm)
        x = ops.scale(ops.add(ops.add(x, y), path), 2**-0.5)
        y = self.channel(ops, self.norm(ops, x, w.ffn_norm), w)
        return ops.add(x, self.norm(ops, y, w.post_ffw_norm))


@dataclass(frozen=True, slots=True)
class SparseDense:
    """As `Dense`, where all but the largest of the gate's numbers are 0."""

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        gate = ops.gaussian_top_k(ops.linear(w.ffn_gate, x), DEVIATIONS)
        return ops.linear(w.ffn_down, ops.gate(gate, ops.linear(w.ffn_up, x), "gelu"))
