"""Qwen 4, experimental (2026): Qwen 3.5 with experts, between streams; a layer reads n-grams.

An indexer selects positions for attention in blocks. Up to `attention.indexer.top_k` positions it
selects all; here every position is seen.
"""

from dataclasses import replace
from functools import cached_property

import numpy as np

from lepton_cli.models.architectures.latent.streamed import Streamed
from lepton_cli.models.architectures.qwen.qwen35 import Qwen35
from lepton_cli.models.parts.attention import GatedAttention
from lepton_cli.models.parts.block import Mixer
from lepton_cli.models.parts.ngrams import NgramInput
from lepton_cli.models.parts.recurrence import GatedDelta
from lepton_cli.models.parts.streams import GatedStreamBlock, GatedStreams
from lepton_cli.models.weights import Layer, constant
from ops.interface import Array, Linear, Ngrams, Operators, check_widths
from quant.format import dequantize

MAX_NGRAM, MAX_HEADS, MAX_TAPS = 8, 64, 64


class Qwen4Exp(Streamed, Qwen35):
    has_next_token = False

    def block(self, layer: int) -> Mixer:
        block = GatedStreamBlock(self.mixer(layer), self.channel(layer), self.gated_streams)
        if layer not in self.ngram_layers:
            return block
        table = self.weights.weight("per_layer_token_embd.weight")
        return NgramInput(self.ngrams, table, self.ngram_taps, self.gated_streams, block)

    @property
    def gated_streams(self) -> GatedStreams:
        return GatedStreams(self.stream_count(), self.width, self.norm)

    def attention(self, layer: int) -> GatedAttention:
        names = ("q_proj", "k_proj", "q_norm", "k_norm")
        Layer(self.weights, layer).leave_out(*(f"indexer.{name}" for name in names))
        return super().attention(layer)

    def delta(self, layer: int) -> GatedDelta:
        return replace(super().delta(layer), gate="sigmoid")

    def final_norm(self, ops: Operators, x: Array) -> Array:
        normed = self.gated_streams.normed(ops, x, self.weights["output_hc_norm"])
        return self.gated_streams.entering(ops, normed, self.weights, "output_hc")

    @property
    def ngram_layers(self) -> list[int]:
        """At most one: files hold the numbers of one."""
        layers = self.keys.integers("ple.layers") if "ple.layers" in self.keys else []
        if len(layers) > 1 or any(not 0 <= layer < self.layers for layer in layers):
            raise self.keys.error("ple.layers", f"is {layers[:8]}")
        return layers

    @property
    def ngrams(self) -> Ngrams:
        keys = self.keys
        length, heads = keys.positive("ple.ngram_size"), keys.positive("ple.heads_per_ngram")
        if not 2 <= length <= MAX_NGRAM:
            raise keys.error("ple.ngram_size", f"is {length}")
        total = (length - 1) * heads
        if total > MAX_HEADS:
            raise keys.error("ple.heads_per_ngram", f"is {heads}")
        numbers = {"layer_multipliers": length, "head_vocab_sizes": total, "head_offsets": total}
        lists = list[tuple[int, ...]]()
        for name, count in numbers.items():
            values = keys.integers(f"ple.{name}")
            if len(values) < count:
                raise keys.error(f"ple.{name}", f"has {len(values)} entries of {count}")
            lists.append(tuple(values[:count]))
        multipliers, sizes, offsets = lists
        return Ngrams(multipliers, sizes, offsets, keys.integer("ple.eos_token_id"))

    @cached_property
    def ngram_taps(self) -> Linear:
        """The taps stand as many tokens apart as the longest n-gram has; in between are zeros."""
        [layer] = self.ngram_layers
        weight, apart = Layer(self.weights, layer).ple_conv1d.weight, len(self.ngrams.multipliers)
        count = self.keys.positive("ple.conv_kernel")
        check_widths(weight.name, weight.columns, count)
        if count > MAX_TAPS:
            raise self.keys.error("ple.conv_kernel", f"is {count}")
        taps = np.zeros((weight.rows, (count - 1) * apart + 1), np.float32)
        taps[:, ::apart] = dequantize(weight.format, weight.data).reshape(weight.rows, count)
        return Linear(constant(weight.name, taps))
