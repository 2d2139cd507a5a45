"""The operators that a model may use: names, shapes, meaning. Read this page first.

A model file calls them on an `Operators` object. `reference` computes at once with NumPy; a
`Recorder` records the calls as a program that a backend runs. Shapes: `T` tokens of this
step, `N` inputs of a weight, `R` its rows (outputs), `H` query heads, `K` key-value heads, `d` head
width (`e` of values), `k` experts per token, `O` tokens whose logits are wanted. What changes from
step to step (tokens, positions, sequences, outputs) is in the `Step`, not in the arguments.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from quant.weights import Linear as Linear
from quant.weights import Weight as Weight
from quant.weights import check_widths as check_widths

BLOCK = 256
"""Positions in one block of the KV cache; softmax partials are formed per block, in block order."""

Array = Any
"""Activations (rows, width) in float32: a NumPy array, or a recording's Buffer."""

Activation = Literal[
    "silu",
    "gelu",
    "gelu_exact",
    "gelu_quick",
    "relu",
    "squared_relu",
    "sigmoid",
    "softplus",
    "tanh",
    "exp",
    "elu",
    "signed_root",
    "clamped_swiglu",
]
"""`gelu`: its tanh form; `gelu_exact`: x·Φ(x); `gelu_quick`: x·σ(1.702 x); `softplus`: ln(1 + eˣ);
`elu`: x, below 0 eˣ − 1; `signed_root`: ±√max(|x|, 1e-6) with the sign of x, of 0 0;
`clamped_swiglu`, of gates alone: g·σ(1.702 g)·(u + 1), g = min(gate, 7), u = up in ±7."""

Gating = Literal["softmax", "sigmoid", "softmax_of_chosen", "sqrt_softplus"]
"""What makes a router's logits probabilities, in the order of GGUF's numbers for them, from 1.

`sqrt_softplus`: √ln(1 + eˣ).
"""


@dataclass(frozen=True, slots=True, eq=False)
class Rope:
    """Rotary positions (Su et al. 2021): rotates pair i of each head by position * frequencies[i].

    Only the first 2·len(frequencies) dimensions of a head are rotated. `interleaved` pairs are
    (2i, 2i+1), otherwise (i, i + len(frequencies)). Results are multiplied by `magnitude`.
    Positions count from `start`.
    """

    frequencies: NDArray[np.float32]
    head_width: int
    interleaved: bool
    magnitude: float = 1.0
    start: int = 0


@dataclass(frozen=True, slots=True)
class Heads:
    """The attention parameters of one layer.

    `layer` is the one whose keys and values it reads: its own, or an earlier one's. Where tokens
    see their whole run, layers may keep theirs in one place, each over those of the one before.
    `head_width` is that of queries and keys, and of values where `value_width` is None. Where
    `keys_hold_values`, a key is its value, then what k holds: values are kept once for both.
    """

    layer: int
    query_heads: int
    kv_heads: int
    head_width: int
    scale: float
    window: int | None = None  # positions visible, the current one included; see `visible`
    softcap: float | None = None
    value_width: int | None = None
    slopes: tuple[float, ...] | None = None  # of each query head (ALiBi)
    keys_hold_values: bool = False
    chunked: bool = False  # windows stand side by side; a query sees its own up to itself
    sees: Literal["past", "run", "prompt"] = "past"
    """Up to itself; all of its sequence's tokens in a step; the prompt that an encoder read."""
    stride: int = 1  # of so many positions it sees the last one

    @property
    def key_columns(self) -> int:
        """The width of a head in k: of its whole key, or of what follows the value."""
        return self.head_width - self.values if self.keys_hold_values else self.head_width

    def visible(
        self, positions: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The first position that a query at each of these sees, and the one behind the last.

        Each belongs to a run whose positions, or whose prompt, end before `ends`. A query that sees
        the whole run has half of its window on either side.
        """
        if self.sees != "past":
            if self.window is None:
                return np.zeros_like(positions), ends
            half = self.window // 2
            return np.maximum(positions - half, 0), np.minimum(positions + half + 1, ends)
        if self.window is None:
            stops = (positions + 1) // self.stride * self.stride
            return np.zeros_like(positions), stops
        if self.chunked:
            return positions - positions % self.window, positions + 1
        return np.maximum(positions + 1 - self.window, 0), positions + 1

    @property
    def values(self) -> int:
        """The width of a head's values, and of its results."""
        return self.head_width if self.value_width is None else self.value_width


@dataclass(frozen=True, slots=True)
class Further:
    """More keys and values for the same queries, which other `heads` keep: of another layer number.

    Where they hold their values, k has no columns.
    """

    k: Array
    v: Array
    heads: Heads


@dataclass(frozen=True, slots=True)
class Routing:
    """How `used` of `total` experts are chosen for a token from the router's logits.

    They are chosen from the best `used_groups` of the `groups` of neighbours: from those whose two
    best experts have the largest sum. The weights of the chosen are divided by their sum if
    `normalize`, then multiplied by `scale`. Where `neighbours` stand for one expert, the ids of the
    chosen are divided by their number, and weights are the probabilities with these ids.
    """

    total: int
    used: int
    gating: Gating = "softmax"
    normalize: bool = True
    scale: float = 1.0
    groups: int = 1
    used_groups: int = 1
    neighbours: int = 1

    @property
    def experts(self) -> int:
        """How many matrices there are to choose from."""
        return self.total // self.neighbours


@dataclass(frozen=True, slots=True)
class DeltaHeads:
    """One layer's delta rule: each of `heads` keeps a matrix (key_width, value_width).

    Of `key_heads` heads of keys, head h reads number h // (heads / key_heads) where they are
    `grouped`, otherwise h mod key_heads.
    """

    heads: int
    key_heads: int
    key_width: int
    value_width: int
    scale: float  # of the results
    grouped: bool = False


@dataclass(frozen=True, slots=True)
class Ngrams:
    """Rows of a table for the last 2, 3, ... tokens: hash mod size + offset, for each of `sizes`.

    The hash of n tokens is the XOR of the products of each, the last one first, with its
    multiplier, modulo 2⁶⁴. The sizes are divided evenly among the numbers n. Tokens up to an `end`
    before the last one, and those before the sequence, count as `end`.
    """

    multipliers: tuple[int, ...]  # one for each token of the longest
    sizes: tuple[int, ...]
    offsets: tuple[int, ...]
    end: int

    @property
    def heads(self) -> int:
        """Rows for each number of tokens."""
        return len(self.sizes) // (len(self.multipliers) - 1)


@dataclass(frozen=True, slots=True)
class ExpertChoice:
    """The experts chosen for each token: ids int32 (T, k), weights float32 (T, k)."""

    ids: Array
    weights: Array
    total: int


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """The input of one pass: tokens, their positions, and the tokens whose logits are wanted.

    The tokens of a sequence are contiguous; `starts` are the indices of each sequence's first
    token. `given` are rows that other programs computed, (T, n) each; `prompts` says how many
    tokens of each sequence an encoder read, if there is one: positions count without them.
    """

    tokens: NDArray[np.int32]  # (T,)
    positions: NDArray[np.int32]  # (T,)
    outputs: NDArray[np.int32]  # (O,) indices into the T tokens
    starts: tuple[int, ...] = (0,)  # rising, from 0
    given: tuple[NDArray[np.float32], ...] = ()
    prompts: tuple[int, ...] = ()

    def runs(self) -> list[slice]:
        """The tokens of each sequence."""
        return list(map(slice, self.starts, (*self.starts[1:], len(self.tokens))))

    def ends(self) -> NDArray[np.int32]:  # (T,)
        """For each token what lies behind the last position of its sequence's tokens, or prompt."""
        runs = self.runs()
        last = self.prompts or [self.positions[run.stop - 1] + 1 for run in runs]
        return np.repeat(np.array(last, np.int32), [run.stop - run.start for run in runs])

    def of_outputs(self) -> "Step":
        """The tokens whose logits are wanted, as a step; in `outputs` sequences are in order."""
        rows = np.arange(len(self.outputs), dtype=np.int32)
        if len(rows) == len(self.tokens) and (rows == self.outputs).all():
            return self
        sequences = np.searchsorted(self.starts, self.outputs, side="right") - 1
        counts = np.bincount(sequences, minlength=len(self.starts))
        starts = tuple((np.cumsum(counts) - counts).tolist())
        return Step(self.tokens[self.outputs], self.positions[self.outputs], rows, starts)


class Interrupted(Exception):  # noqa: N818  it is not an error
    """A step was interrupted on request; its results are incomplete."""


class Operators(Protocol):
    """Each method returns a new (rows, width) array, or raises ModelFileError for wrong shapes."""

    def layer(self, number: int) -> "Operators":
        """The same operators for one layer: what is called on them is recorded for that layer."""

    def embed(self, table: Weight) -> Array:  # (V, D) -> (T, D)
        """The table's rows for the step's tokens."""

    def given(self, width: int) -> Array:  # (T, width)
        """The next of the rows that the step brings along."""

    def embed_positions(self, table: Weight) -> Array:  # (S, D) -> (T, D)
        """The table's rows for the step's positions."""

    def embed_ngrams(self, table: Weight, ngrams: Ngrams) -> Array:  # (V, D) -> (T, heads·D)
        """The table's rows for each token and those before it, side by side.

        A layer keeps the last tokens for the next step.
        """

    def linear(self, w: Linear, x: Array) -> Array:  # (R, N), (rows, N) -> (rows, R)
        """x Wᵀ + b."""

    def head_linear(self, w: Linear, x: Array) -> Array:  # (H, R, N), (T, H·N) -> (T, H·R)
        """Each head's columns through the head's own matrix."""

    def rms_norm(
        self, x: Array, w: Linear | int, eps: float, stretch: int | None = None
    ) -> Array:  # (rows, n·d) -> same
        """x / √(mean x² + eps) · w, over whole rows, or over each `stretch` of d columns (a head).

        w is as wide as a row, or (1, d), or (n, d) with a row for each stretch; a number d in its
        place stands for stretches without weights.
        """

    def layer_norm(
        self, x: Array, w: Linear | int, eps: float, stretch: int | None = None
    ) -> Array:  # (rows, n·d) -> same
        """(x − mean) / √(var + eps) · w + b, over stretches as in `rms_norm`."""

    def rope(self, x: Array, rope: Rope) -> Array:  # (T, heads·d) -> same
        """Rotates each head by its token's position."""

    def temperature(
        self, x: Array, scale: float, period: int, offset: int = 0
    ) -> Array:  # (T, n) -> (T, n)
        """x · (1 + scale · ln(1 + floor((position + offset) / period)))."""

    def attention(
        self,
        q: Array,
        k: Array | None,
        v: Array | None,
        heads: Heads,
        sinks: Weight | None = None,
        further: Further | None = None,
        biases: Weight | None = None,
    ) -> Array:  # (T, H·d), (T, K·d), (T, K·e), biases (H, 2·n + 1) -> (T, H·e)
        """Writes k and v to the cache, then softmax(scale·q·k) v over the token's sequence.

        A token sees itself and those before it, or what `heads.sees` says. Without k and v nothing
        is written: it reads what layer `heads.layer` wrote before.

        With a softcap c, scores become c·tanh(score / c). With a slope m they fall by m for each
        position between query and key (Press et al. 2021). A sink is an extra logit per head that
        takes part in the softmax but has no value. `further` keys take part in the same softmax.
        With `biases` a head's number for the distance from query to key, −n to n, is added to q·k;
        greater distances count as n (relative positions of Raffel et al. 2020).
        """

    def keep(self, k: Array, v: Array, heads: Heads) -> None:  # (T, K·d), (T, K·e)
        """Writes k and v to the cache alone: another program's attention reads them."""

    def compress(self, x: Array, places: Weight, ratio: int, parts: int) -> Array:
        """(T, 2·P·w), (ratio, P·w) -> (T, w): a row for each `ratio` tokens, at their last one.

        x holds P `parts` of values, then their scores, to which the rows of `places` are added by
        the token's place among its `ratio`. A column is the sum of its values, weighted by the
        softmax of their scores, over the last P · ratio tokens: of the latest the last part, of
        those before the part before. Other tokens have zeros. A layer keeps the last rows.
        """

    def convolve(self, x: Array, w: Linear) -> Array:  # (T, D), (D, K) -> (T, D)
        """Causal convolution: y[t] = Σ_j w[:, j]·x[t − K + 1 + j] + b, where x is 0 for t < 0.

        Per channel, along each token's sequence. Stores the last K − 1 rows for the next step.
        """

    def delta_rule(
        self, q: Array, k: Array, v: Array, decay: Array, rate: Array, heads: DeltaHeads
    ) -> Array:  # (T, K·d) twice, (T, H·e), (T, H or H·d), (T, H) -> (T, H·e)
        """A memory of associations (Yang et al. 2024): for each head a matrix S (d, e), 0 at first.

        For each token in order S = diag(decay) S; S += k ⊗ rate·(v − Sᵀk); y = scale · Sᵀq. The
        decay is a factor for each head, or for each row of its S. A layer keeps S for the next
        step.
        """

    def shift(self, x: Array) -> Array:  # (T, D) -> (T, D)
        """y[t] = x[t − 1] of the token's sequence, 0 at its start."""

    def selective_scan(
        self, x: Array, delta: Array, b: Array, c: Array, rates: Weight, skip: Weight, groups: int
    ) -> Array:  # (T, H·e), (T, H), (T, G·d) twice, (H, 1 or d), (1, H) -> (T, H·e)
        """A state space model (Gu and Dao 2023): for each head a matrix S (d, e), 0 at first.

        For each token in order S = exp(delta · rates) S + b ⊗ delta · x; y = Sᵀc + skip · x. The
        rate of decay is one for each head, or, with heads of one column, one for each row of S.
        Heads share the b and c of their group. A layer keeps S for the next step.
        """

    def linear_attention(
        self,
        q: Array,
        k: Array,
        v: Array,
        decay: Array,
        heads: int,
        bonus: Weight | None = None,
        correction: tuple[Array, Array] | None = None,
    ) -> Array:  # (T, H·d) twice, (T, H·e), (T, H·d), (1, H·d), (T, H·d) twice -> (T, H·e)
        """For each head a matrix S (d, e), 0 at first, which decays row by row.

        For each token in order S = diag(decay) S + k ⊗ v; y = Sᵀq. With a bonus (RWKV 6) the S
        before this token is read, and bonus · k ⊗ v counts beside it. With a correction (r, a)
        (RWKV 7) S also grows by a ⊗ Sᵀr of the S before. A layer keeps S for the next step.
        """

    def add(self, x: Array, y: Array) -> Array:  # (rows, D), (rows, D) -> (rows, D)
        """x + y."""

    def multiply(self, x: Array, y: Array) -> Array:  # (rows, n·d), (rows, n·d or n) -> (rows, n·d)
        """x · y, element by element; of n columns, each multiplies a stretch of d columns.

        (T·k, d), (T, k) -> (T·k, d): each row of a token times a number of its own.
        """

    def scale_by(self, x: Array, w: Linear) -> Array:  # (rows, n·d), (1, n·d or n) -> (rows, n·d)
        """x · w; of n weights, each multiplies a stretch of d columns."""

    def columns(self, x: Array, start: int, stop: int, stretch: int | None = None) -> Array:
        """(rows, n·stretch) -> (rows, n·(stop − start)): these columns of each stretch, or none.

        Without `stretch` of the whole row.
        """

    def sums(self, x: Array, stretch: int) -> Array:  # (rows, n·stretch) -> (rows, n)
        """The sum of each stretch of columns."""

    def join(self, parts: Sequence[Array], stretches: int = 1) -> Array:
        """(rows, n·a), (rows, n·b), ... -> (rows, n·(a + b + ...)), side by side in each of n."""

    def mix(self, x: Array, c: Array, streams: int) -> Array:
        """(T, S·D), (T, R·S) -> (T, R·D): y_r = Σ_s c[r, s] · x_s, a matrix of each token's own.

        x holds S `streams`, one behind the other. With streams of width 1 it is x · c of each row.
        """

    def balance(self, x: Array, streams: int, iterations: int, eps: float) -> Array:
        """(T, S·S) -> (T, S·S): weights of S streams that sum to nearly 1 both ways.

        From x[s, r] c[r, s] = softmax over r + eps, divided by (its sum over s) + eps; then
        `iterations` − 1 times so over r and over s (Sinkhorn and Knopp 1967).
        """

    def gaussian_top_k(self, x: Array, deviations: float) -> Array:  # (rows, D) -> (rows, D)
        """max(0, x − mean − deviations · σ), σ² = Σ (x − mean)² / (D − 1): a row's largest."""

    def scale(self, x: Array, factor: float) -> Array:
        """x · factor."""

    def clamp(self, x: Array, low: float, high: float) -> Array:
        """min(max(x, low), high)."""

    def softcap(self, x: Array, cap: float) -> Array:
        """cap · tanh(x / cap)."""

    def activate(self, x: Array, activation: Activation) -> Array:
        """activation(x), element by element; not for the gated kinds."""

    def gate(self, gate: Array, up: Array, activation: Activation) -> Array:  # (rows, F) twice
        """activation(gate) · up."""

    def route(
        self,
        logits: Array,
        routing: Routing,
        bias: Weight | None = None,
        listed: Array | None = None,
    ) -> ExpertChoice:
        """(T, E) -> (T, k) twice: each token's k best experts and their weights.

        The lower id wins a tie. A bias (1, E) is added for the choice, not in the weights. Where
        experts are `listed` (T, k), those are chosen, whatever their logits.
        """

    def expert_linear(self, w: Linear, x: Array, chosen: ExpertChoice) -> Array:
        """(E, R, N), (T or T·k, N) -> (T·k, R): each token through each of its experts."""

    def expert_sum(self, y: Array, chosen: ExpertChoice) -> Array:  # (T·k, D) -> (T, D)
        """Σ of weight · y over the chosen experts, in the order in which they were chosen."""

    def select_outputs(self, x: Array) -> Array:  # (T, D) -> (O, D)
        """The rows whose logits are wanted."""
