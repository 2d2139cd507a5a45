"""T5 (Raffel et al. 2020): an encoder, and a decoder that reads what it made of the prompt."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lepton_cli.models.decoder import Decoder
from lepton_cli.models.parts.attention import GroupedAttention
from lepton_cli.models.parts.block import Mixer, Norm
from lepton_cli.models.parts.feed_forward import Dense, Ungated
from lepton_cli.models.weights import Layer, constant
from ops.interface import Array, Heads, Linear, Operators, Rope, Weight, check_widths
from quant.errors import ModelFileError
from quant.format import dequantize
from quant.gguf import GGUF

FARTHEST = 128  # greater distances share a bucket; no key gives it


class T5Encoder(Decoder):
    """Scores are not scaled, and have biases by distance in place of positions."""

    sees: Literal["past", "run"] = "run"
    generates = False
    block_prefix = "enc."
    output_norm = "enc.output_norm"

    def attention_scale(self, layer: int) -> float:
        return 1.0

    def attention(self, layer: int) -> GroupedAttention:
        return RelativeAttention(self.heads(layer), self.rope(layer), biases=self.biases(layer))

    def biases(self, layer: int) -> Weight:  # (H, 2 * FARTHEST + 1)
        """Each head's biases by distance. In most files all layers share those of the first."""
        own = f"{self.block_prefix}blk.{layer}.attn_rel_b"
        name = own if own in self.weights else f"{self.block_prefix}blk.0.attn_rel_b"
        table = self.weights[name].weight
        count = self.keys.positive("attention.relative_buckets_count")
        if not 4 <= count < FARTHEST:
            raise self.keys.error("attention.relative_buckets_count", f"is {count}")
        check_widths(table.name, table.columns, self.keys.heads_at(layer))
        if table.rows != count:
            raise ModelFileError(f"the tensor {table.name} has {table.rows} rows, not {count}")
        chosen = buckets(np.arange(-FARTHEST, FARTHEST + 1), count, one_sided=self.sees == "past")
        return constant(table.name, dequantize(table.format, table.data)[chosen].T)

    def channel(self, layer: int) -> Mixer:
        """By the tensors: T5 1.0 has no gates."""
        gates = (f"{self.block_prefix}blk.{n}.ffn_gate" for n in range(self.layers))
        gated = any(gate in self.weights for gate in gates)
        return Dense("gelu") if gated else Ungated("relu")

    def rope(self, layer: int) -> Rope | None:
        return None


class T5(T5Encoder):
    """The encoder's last rows give keys and values for each layer of the decoder."""

    sees = "past"
    generates = True
    texts = 2
    block_prefix = "dec."
    output_norm = "dec.output_norm"

    def __init__(self, file: GGUF, context: int) -> None:
        super().__init__(file, context)
        self._encoder = T5Encoder(file, context)
        self._encoder.weights = self.weights  # which remembers the tensors that were asked for
        self.layers = self.keys.positive("decoder_block_count", self.layers)
        bos = file.metadata.integer("tokenizer.ggml.bos_token_id", 0)
        self.start_token = self.keys.integer("decoder_start_token_id", bos)
        if not 0 <= self.start_token < self.embedding.rows:
            raise self.keys.error("decoder_start_token_id", f"is {self.start_token}")

    @property
    def encoder(self) -> T5Encoder:
        """Control vectors steer both stacks."""
        self._encoder.directions = self.directions
        return self._encoder

    def encode(self, ops: Operators) -> Array:
        """Its layers keep keys and values where the decoder's first layer will keep its own."""
        encoder = self.encoder
        x = encoder.final_norm(ops, encoder.through_blocks(ops, encoder.embed(ops)))  # (T, D)
        for n in range(self.layers):
            w, heads = Layer(self.weights, n, self.block_prefix), self.cross_heads(n)
            k = projected(ops, w.cross_attn_k, x, heads.kv_heads * heads.head_width)
            v = projected(ops, w.cross_attn_v, x, heads.kv_heads * heads.values)
            ops.layer(n).keep(k, v, heads)
        return x

    def rows_of_texts(self, ops: Operators) -> Array:
        return self.encoder.hidden(ops)

    def cross_heads(self, layer: int) -> Heads:
        """Of the prompt; kept behind the layers' own keys and values."""
        return replace(self.heads(layer), layer=self.layers + layer, sees="prompt")

    def block(self, layer: int) -> Mixer:
        Layer(self.weights, layer, self.block_prefix).leave_out("cross_attn_rel_b")
        cross = CrossAttention(self.cross_heads(layer))
        return CrossBlock(self.mixer(layer), cross, self.channel(layer), self.norm)


@dataclass(frozen=True, slots=True)
class RelativeAttention(GroupedAttention):
    """`biases` by distance are added to the scores."""

    biases: Weight | None = None

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        q, k, v = self.project(ops, x, w)
        return ops.linear(w.attn_o, ops.attention(q, k, v, self.heads, biases=self.biases))


@dataclass(frozen=True, slots=True)
class CrossAttention:
    """Attention to the prompt, of which the encoder has kept keys and values."""

    heads: Heads

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        heads = self.heads
        q = projected(ops, w.cross_attn_q, x, heads.query_heads * heads.head_width)
        return ops.linear(w.cross_attn_o, ops.attention(q, None, None, self.heads))


@dataclass(frozen=True, slots=True)
class CrossBlock:
    """A norm before each of three mixers: of the answer, of the prompt, of channels."""

    mixer: Mixer
    cross: Mixer
    channel: Mixer
    norm: Norm

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        x = ops.add(x, self.mixer(ops, self.norm(ops, x, w.attn_norm), w))
        x = ops.add(x, self.cross(ops, self.norm(ops, x, w.cross_attn_norm), w))
        return ops.add(x, self.channel(ops, self.norm(ops, x, w.ffn_norm), w))


def projected(ops: Operators, w: Linear, x: Array, width: int) -> Array:  # (T, D) -> (T, width)
    """Raises ModelFileError for a matrix of other heads."""
    check_widths(w.weight.name, w.weight.rows, width)
    return ops.linear(w, x)


def buckets(distances: NDArray[np.int64], count: int, *, one_sided: bool) -> NDArray[np.int64]:
    """Which of `count` buckets a distance from query to key falls into (section 2.1 there).

    Half of them are for one distance each, the others widen up to FARTHEST. On both sides of the
    query there are half as many, those of later keys behind those of earlier ones.
    """
    if one_sided:
        first, far = np.zeros_like(distances), np.maximum(-distances, 0)
    else:
        count //= 2
        first, far = np.where(distances > 0, count, 0), np.abs(distances)
    exact = count // 2
    ratio = np.log(np.maximum(far, 1).astype(np.float32) / np.float32(exact))  # as llama.cpp's logf
    wide = exact + ratio.astype(np.float64) * (count - exact) / np.log(FARTHEST / exact)
    wide = np.minimum(count - 1, np.floor(wide.astype(np.float32))).astype(np.int64)
    return first + np.where(far < exact, far, wide)
