"""The decoder that all architectures share: embed, blocks of two mixers, logits.

An architecture's file overrides what differs. Pre-norm residual blocks of grouped attention and
SwiGLU (Touvron et al. 2023) are the default; blocks are composed of what `parts` holds.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar, Literal, get_args

import numpy as np

from lepton_cli.models.classifier import Classifier
from lepton_cli.models.keys import MAX_HEAD_WIDTH, Keys
from lepton_cli.models.parts.attention import GroupedAttention
from lepton_cli.models.parts.block import (
    LayerNorm,
    Mixer,
    Norm,
    PreNorm,
    RmsNorm,
    Sum,
    ones_like,
)
from lepton_cli.models.parts.feed_forward import SHARED, Dense, Mixture, Shared
from lepton_cli.models.rope import Frequencies, Yarn, plain, read_scaling, scaled, text_axes
from lepton_cli.models.weights import FEED_FORWARD, Layer, Weights
from ops.interface import (
    Activation,
    Array,
    Gating,
    Heads,
    Linear,
    Operators,
    Rope,
    Routing,
    Weight,
    check_widths,
)
from quant.errors import ModelFileError, UsageError
from quant.format import dequantize
from quant.gguf import GGUF

GATINGS: tuple[Gating, ...] = get_args(Gating)
"""In the order of the numbers of `expert_gating_func`, from 1."""


class Decoder:
    """A model's hyper-parameters and weights, and its forward pass, written once for all."""

    has_layer_norms: ClassVar[bool] = False  # in place of RMS norms
    has_norm_biases: ClassVar[bool] = True  # of layer norms of whole rows
    block_prefix: ClassVar[str] = ""  # of the names of its blocks' tensors
    output_norm: ClassVar[str] = "output_norm"
    interleaved_rope: ClassVar[bool] = False
    axes: ClassVar[Literal["stretches", "alternating"] | None] = None  # of positions, if several
    activation: ClassVar[Activation] = "silu"
    ffn_norm: ClassVar[str] = "ffn_norm"  # the tensor that stands before the channel mixer
    gating: ClassVar[Gating] = "softmax"
    has_gating_key: ClassVar[bool] = False  # by which a file may name another
    normalizes: ClassVar[bool | None] = True
    """Whether an expert's weight is its share of the chosen ones'; None: as a key says."""
    has_shared_expert: ClassVar[bool] = False
    leaves_dense_out: ClassVar[bool] = False  # of layers with experts
    has_head_norm: ClassVar[bool | None] = False
    """Queries and keys are normalised head by head; None: where the file has the weights."""
    local_period: ClassVar[int | None] = None  # one layer in so many sees the whole context
    global_first: ClassVar[bool] = False  # and it is the first of them, not the last
    default_window: ClassVar[int | None] = 0  # of local layers; None: the file must say it
    stretches_local: ClassVar[bool] = False  # positions of local layers, as those of the others
    sees: Literal["past", "run"] = "past"  # see Heads
    generates: bool = True  # or it is an encoder: a pass ends in rows, without logits
    texts: ClassVar[int] = 1  # that each may be as long as trained: a prompt and its answer are two
    start_token: int | None = None  # begins answers to prompts that an encoder reads: see `encode`
    classifier: ClassVar[Classifier] = Classifier()  # of files with a head that judges texts
    has_next_token: ClassVar[bool] = False
    """The first of its further blocks guesses tokens, as `NextTokenHead` does."""
    ignored: ClassVar[frozenset[str]] = frozenset()  # tensors that are known to be of no use
    unapplied: ClassVar[frozenset[str]] = frozenset()
    """Biases and scales that files may hold and llama.cpp, whose arithmetic counts, leaves out."""

    def __init__(self, file: GGUF, context: int) -> None:
        """`context` is the number of positions in use, on which long-rope factors depend."""
        self.keys = Keys(file.metadata)
        if self.sees == "past" and not self.keys.boolean("attention.causal", True):
            self.sees, self.generates = "run", False
        self.layers, self.width = self.keys.layers(), self.keys.positive("embedding_length")
        self.weights, self.context = Weights(file, self.unapplied), context
        self.places = dict[tuple[int, ...], int]()  # see `place`
        self.directions: Mapping[int, Linear] = {}  # (1, D) of layers that are steered
        key = f"attention.{self.read_norm()}_epsilon"
        self.eps = self.keys.not_negative(key)

    def forward(self, ops: Operators) -> Array:  # (O, V), of an encoder (O, D)
        rows = self.hidden(ops)
        return self.logits(ops, rows) if self.generates else rows

    def hidden(self, ops: Operators) -> Array:  # (O, D)
        """The rows of wanted tokens, from which the logits are computed."""
        x = self.through_blocks(ops, self.embed(ops))  # (T, D)
        return self.final_norm(ops, ops.select_outputs(x))

    def rows_of_texts(self, ops: Operators) -> Array:  # (O, D)
        """The rows of which embeddings are made."""
        return self.hidden(ops)

    def encode(self, ops: Operators) -> Array:  # (T, K*e)
        """Reads a prompt, and keeps what the decoder's attention reads of it: its last values."""
        raise NotImplementedError("only a model with a start token has an encoder")

    def through_blocks(self, ops: Operators, x: Array) -> Array:  # (T, D) -> (T, D)
        for n, block in enumerate(self.blocks):
            w = Layer(self.weights, n, self.block_prefix)
            x = self.steered(ops.layer(n), block(ops.layer(n), x, w), n)
        return x

    def steered(self, ops: Operators, x: Array, layer: int) -> Array:  # (T, D) -> (T, D)
        """What leaves a layer, with its direction of the control vectors in use."""
        direction = self.directions.get(layer)
        return x if direction is None else ops.add(x, ops.scale_by(ones_like(ops, x), direction))

    def read_norm(self) -> str:
        """The kind of norm whose epsilon the file's keys give."""
        return "layer_norm" if self.has_layer_norms else "layer_norm_rms"

    @cached_property
    def blocks(self) -> tuple[Mixer, ...]:
        return tuple(self.block(n) for n in range(self.layers))

    @property
    def embedding(self) -> Weight:
        """A row a token. Raises ModelFileError."""
        table = self.weights.weight("token_embd.weight")
        check_widths(table.name, table.columns, self.width)
        return table

    @property
    def further_blocks(self) -> range:
        """Those behind the model's own, which guess further tokens and are not run."""
        return range(self.layers, self.keys.positive("block_count"))

    def embed(self, ops: Operators) -> Array:
        return ops.embed(self.embedding)

    def embed_positions(self, ops: Operators) -> Array:
        """A learned row for each position. Raises UsageError for a context beyond the table."""
        table = self.weights.weight("position_embd.weight")
        if table.rows < self.context:
            message = f"{table.name} has {table.rows} rows for a context of {self.context}"
            trained = self.keys.positive("context_length")
            kind = UsageError if self.context > trained else ModelFileError
            raise kind(message, f"use -c {table.rows} or less")
        return ops.embed_positions(table)

    def block(self, layer: int) -> Mixer:
        return PreNorm(self.mixer(layer), self.channel(layer), self.norm, self.ffn_norm)

    def mixer(self, layer: int) -> Mixer:
        return self.attention(layer)

    def attention(self, layer: int) -> GroupedAttention:
        has_norm = self.has_head_norm
        if has_norm is None:
            has_norm = f"blk.{layer}.attn_q_norm" in self.weights
        head_norm = self.norm if has_norm else None
        return GroupedAttention(self.heads(layer), self.rope(layer), head_norm)

    def channel(self, layer: int) -> Mixer:
        """By the tensors of the layer: some models have experts in some of theirs."""
        if f"blk.{layer}.ffn_gate_inp" not in self.weights:
            return self.dense()
        if self.has_shared_expert and f"blk.{layer}.ffn_up{SHARED}" in self.weights:
            return Sum(self.mixture(layer), Shared(self.dense(SHARED)))
        return self.mixture(layer)

    def dense(self, suffix: str = "") -> Mixer:
        return Dense(self.activation, suffix=suffix)

    def mixture(self, layer: int) -> Mixture:
        """Some files hold a dense part beside the experts that the model does not use."""
        if self.leaves_dense_out:
            Layer(self.weights, layer).leave_out(*FEED_FORWARD)
        return Mixture(self.routing(layer), self.activation)

    @property
    def norm(self) -> Norm:
        if self.has_layer_norms:
            return LayerNorm(self.eps, self.has_norm_biases)
        return RmsNorm(self.eps)

    def final_norm(self, ops: Operators, x: Array) -> Array:
        return self.norm(ops, x, self.weights[self.output_norm])

    def logits(self, ops: Operators, x: Array) -> Array:
        """Without a matrix of its own the output is tied to the embedding."""
        tied = "output" not in self.weights
        return ops.linear(self.weights["token_embd" if tied else "output"], x)

    def heads(self, layer: int) -> Heads:
        """Raises ModelFileError for numbers that cannot belong together."""
        keys, width = self.keys, self.head_width(layer)
        heads = keys.heads_at(layer)
        kv_heads = keys.positive_at("attention.head_count_kv", layer, heads)
        if heads % kv_heads:
            raise keys.error("attention.head_count", f"is {heads}: no multiple of {kv_heads}")
        values = keys.positive_at("attention.value_length", layer, width)
        return Heads(
            layer=self.place(layer, (kv_heads, width, values)),
            query_heads=heads,
            kv_heads=kv_heads,
            head_width=width,
            value_width=values,
            scale=self.attention_scale(layer),
            window=self.window(layer),
            softcap=self.softcap(),
            slopes=self.slopes(heads),
            sees=self.sees,
        )

    def place(self, layer: int, shape: tuple[int, ...]) -> int:
        """The layer where keys and values of this shape are kept.

        Where no later step reads them, that is the first of such a shape: far less memory.
        """
        return self.places.setdefault(shape, layer) if self.sees == "run" else layer

    def head_width(self, layer: int) -> int:
        """Without a key, that of the first layer."""
        keys, key = self.keys, "attention.key_length"
        if key in keys:
            width = keys.positive_at(key, layer)
        else:
            width = self.width // keys.positive_at("attention.head_count", 0) or 1
        if width > MAX_HEAD_WIDTH:
            raise keys.error(key, f"is {width}")
        return width

    def attention_scale(self, layer: int) -> float:
        return float(self.head_width(layer) ** -0.5)

    def window(self, layer: int) -> int | None:
        return self.local_window if self.is_local(layer) else None

    def is_local(self, layer: int) -> bool:
        """Whether the layer sees a window of positions only."""
        if self.local_period is None or self.local_window < 1:
            return False
        return self.keys.is_local(layer, self.local_period, self.global_first)

    @property
    def local_window(self) -> int:
        return self.keys.integer("attention.sliding_window", self.default_window)

    def softcap(self) -> float | None:
        return None

    def slopes(self, heads: int) -> tuple[float, ...] | None:
        """Of biases that fall with the distance, in place of rotary positions."""
        return None

    def rope(self, layer: int) -> Rope | None:
        return self.global_rope

    @cached_property
    def global_rope(self) -> Rope | None:
        frequencies, magnitude = scaled(self.keys, self.rope_base(), self.rotary, self.yarn)
        divisors = self.rope_divisors()
        if divisors is not None:
            frequencies = frequencies / divisors
        if self.axes and "rope.dimension_sections" in self.keys:
            frequencies = text_axes(self.keys, frequencies, self.axes == "alternating")
        return self.turn(frequencies, magnitude)

    @cached_property
    def local_rope(self) -> Rope:
        """Of local layers that turn otherwise: by a base of their own, and mostly unstretched."""
        base, rotary = self.local_base(), self.local_rotary
        if self.stretches_local:
            return self.turn(*scaled(self.keys, base, rotary, self.yarn))
        return self.turn(plain(base, rotary))

    @property
    def yarn(self) -> Yarn:
        return Yarn()

    def rope_divisors(self) -> Frequencies | None:
        """From tensors: of Llama 3.1 and later, or the long-rope's of the context in use.

        Short factors hold within the original context of a model that was stretched beyond.
        """
        original = read_scaling(self.keys).original_context
        short = self.context <= original < self.keys.positive("context_length")
        names = ("rope_freqs", "rope_factors_short", "rope_factors_long")
        found = {n: self.factors(f"{n}.weight") for n in names if n in self.weights}
        return found.get("rope_freqs", found.get(f"rope_factors_{'short' if short else 'long'}"))

    @property
    def rotary(self) -> int:
        """How many dimensions of a head turn."""
        return self.read_rotary("rope.dimension_count", self.head_width(0))

    @property
    def local_rotary(self) -> int:
        return self.rotary

    def read_rotary(self, key: str, default: int, layer: int = 0) -> int:
        width, rotary = self.head_width(layer), self.keys.positive(key, default)
        if rotary > width or rotary % 2:
            raise self.keys.error(key, f"is {rotary} with heads of {width}")
        return rotary

    def rope_base(self) -> float:
        return self.keys.rope_base("rope.freq_base", 10000.0)

    def local_base(self) -> float:
        return self.keys.rope_base("rope.freq_base_swa", 10000.0)

    def turn(self, frequencies: Frequencies, magnitude: float = 1.0) -> Rope:
        return Rope(frequencies, self.head_width(0), self.interleaved_rope, magnitude)

    def factors(self, name: str) -> Frequencies:
        """A tensor of divisors of the rotary frequencies, one a pair."""
        weight = self.weights.weight(name)
        divisors = dequantize(weight.format, weight.data).reshape(-1)
        check_widths(name, len(divisors), self.rotary // 2)
        if not np.all(divisors):
            raise ModelFileError(f"the tensor {name} holds a divisor of 0")
        return divisors

    @property
    def experts(self) -> int:
        """Of each layer that has experts."""
        return self.keys.integer("expert_count", 0)

    def routing(self, layer: int) -> Routing:
        keys, total = self.keys, self.experts
        used = keys.positive_at("expert_used_count", layer)
        if used > total:
            raise keys.error("expert_used_count", f"is {used} of {total} experts")
        groups = max(1, keys.integer("expert_group_count", 1))
        used_groups = keys.integer("expert_group_used_count", groups) or groups
        if total % groups or not 0 < used_groups <= groups:
            counts = f"is {used_groups} of {groups} groups of {total} experts"
            raise keys.error("expert_group_used_count", counts)
        return Routing(
            total,
            used,
            self.read_gating(),
            self.reads_normalize(),
            keys.not_negative("expert_weights_scale", 0.0) or 1.0,
            groups,
            used_groups,
        )

    def read_gating(self) -> Gating:
        number = self.keys.integer("expert_gating_func", 0) if self.has_gating_key else 0
        if not number:
            return self.gating
        if not 0 < number <= len(GATINGS):
            raise self.keys.error("expert_gating_func", f"is {number}: not supported yet")
        return GATINGS[number - 1]

    def reads_normalize(self) -> bool:
        if self.normalizes is not None:
            return self.normalizes
        return self.keys.boolean("expert_weights_norm", False)
