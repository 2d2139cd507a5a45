"""Gemma 4: local and global heads of two widths, layers that share keys and values, layer inputs.

Its files differ in kind: with inputs of each layer (E2B, E4B), with experts beside the dense part
(26B-A4B), and with keys as the values of global layers (these and 31B).
"""

from dataclasses import dataclass, replace
from functools import cached_property

from lepton_cli.models.architectures.gemma.gemma2 import Gemma2
from lepton_cli.models.parts.block import Mixer, RmsNorm, SandwichNorm
from lepton_cli.models.parts.feed_forward import Dense, Mixture
from lepton_cli.models.parts.layer_inputs import LayerInputs
from lepton_cli.models.parts.reading_attention import ReadingAttention, kept_by
from lepton_cli.models.rope import Frequencies, plain
from lepton_cli.models.weights import Layer
from ops.interface import Array, Heads, Linear, Operators, Rope, check_widths


class Gemma4(Gemma2):
    """The keys of local layers end in _swa."""

    local_period = 6

    def through_blocks(self, ops: Operators, x: Array) -> Array:
        parts = self.layer_inputs
        inputs = parts and parts.of_all_layers(ops, x, self.weights, self.width)  # (T, L·P)
        for n, block in enumerate(self.blocks):
            at, w = ops.layer(n), Layer(self.weights, n)
            x = block(at, x, w)
            if parts:
                x = at.add(x, parts.gated(at, x, inputs, w))
            if "layer_output_scale" in w:
                x = at.scale_by(x, w.layer_output_scale)
            x = self.steered(at, x, n)
        return x

    @property
    def own_layers(self) -> int:
        """How many layers have keys and values; those behind read theirs."""
        return self.layers - self.keys.integer("attention.shared_kv_layers", 0)

    @property
    def layer_inputs(self) -> LayerInputs | None:
        width = self.keys.integer("embedding_length_per_layer_input", 0)
        return LayerInputs(self.layers, width, RmsNorm(self.eps)) if width > 0 else None

    def block(self, layer: int) -> Mixer:
        dense, norm = Dense(self.activation), RmsNorm(self.eps)
        if not self.experts:
            return SandwichNorm(self.mixer(layer), dense, norm)
        mixture = Mixture(self.routing(layer), self.activation)
        beside = BesideExperts(dense, mixture, norm, self.width)
        return SandwichNorm(self.mixer(layer), beside, norm, ffn_norm=None)

    def mixer(self, layer: int) -> Mixer:
        heads, rope = self.heads(layer), self.rope(layer)
        keys_are_values = f"blk.{layer}.attn_v" not in self.weights
        return ReadingAttention(heads, rope, RmsNorm(self.eps), keys_are_values)

    def heads(self, layer: int) -> Heads:
        key, width = self.of_kind("attention.value_length", layer), self.head_width(layer)
        values = self.keys.positive(key, width)
        reads = kept_by(layer, self.own_layers, self.is_local)
        return replace(super().heads(layer), layer=reads, value_width=values)

    def of_kind(self, key: str, layer: int) -> str:
        return f"{key}_swa" if self.is_local(layer) else key

    def head_width(self, layer: int) -> int:
        return self.keys.positive(self.of_kind("attention.key_length", layer))

    def rope(self, layer: int) -> Rope | None:
        return self.local_rope if self.is_local(layer) else self.global_rope

    @property
    def rotary(self) -> int:
        """Of a global head; divisors of 1e30 leave most of its pairs as they are."""
        layer = self.first(is_local=False)
        return self.read_rotary("rope.dimension_count", self.head_width(layer), layer)

    def turn(self, frequencies: Frequencies, magnitude: float = 1.0) -> Rope:
        width = self.head_width(self.first(is_local=False))
        return Rope(frequencies, width, interleaved=False, magnitude=magnitude)

    @cached_property
    def local_rope(self) -> Rope:
        width = self.head_width(layer := self.first(is_local=True))
        rotary = self.read_rotary("rope.dimension_count_swa", width, layer)
        return Rope(plain(self.local_base(), rotary), width, interleaved=False)

    def first(self, *, is_local: bool) -> int:
        """The first layer of a kind; 0 in a model without any."""
        return next((n for n in range(self.layers) if self.is_local(n) is is_local), 0)

    def softcap(self) -> float | None:
        return None

    def attention_scale(self, layer: int) -> float:
        return 1.0


@dataclass(frozen=True, slots=True)
class BesideExperts:
    """A dense part and experts, each between norms of its own; their sum is what comes out.

    The router sees x normalised without the experts' weights, by a scale of its own.
    """

    dense: Dense
    mixture: Mixture
    norm: RmsNorm
    width: int

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        y = self.norm(ops, self.dense(ops, self.norm(ops, x, w.ffn_norm), w), w.post_ffw_norm_1)
        scale = w.weight("ffn_gate_inp.scale")
        check_widths(scale.name, scale.columns, self.width)
        seen = self.norm(ops, x, Linear(scale))
        router = Linear(w.weight("ffn_gate_inp.weight"))
        logits = ops.linear(router, ops.scale(seen, self.width**-0.5))
        chosen = ops.route(logits, self.mixture.routing)
        z = self.mixture.sum_of(ops, self.norm(ops, x, w.pre_ffw_norm_2), chosen, w)
        return ops.add(y, self.norm(ops, z, w.post_ffw_norm_2))
