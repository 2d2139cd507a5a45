"""Channel mixers: dense feed-forward parts, and mixtures of experts."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from lepton_cli.models.parts.block import Mixer, Norm, ones_like
from lepton_cli.models.weights import Layer
from ops.interface import Activation, Array, ExpertChoice, Linear, Operators, Routing, check_widths


@dataclass(frozen=True, slots=True)
class Limit:
    """Bounds min(gate, most), and up within ± most, where `most` is above 0.

    The gate is bounded behind its activation, or `early`: before it.
    """

    most: float
    early: bool = False

    def gate(self, ops: Operators, gate: Array, up: Array, activation: Activation) -> Array:
        """The product of both, as `ops.gate`."""
        if self.most <= 0:
            return ops.gate(gate, up, activation)
        up = ops.clamp(up, -self.most, self.most)
        if self.early:
            return ops.gate(ops.clamp(gate, -math.inf, self.most), up, activation)
        gate = ops.activate(gate, activation)
        return ops.multiply(ops.clamp(gate, -math.inf, self.most), up)


@dataclass(frozen=True, slots=True)
class Situ:
    """Kimi K3's gate, of both bounded softly: b·tanh(g/b) · σ(g) · l·tanh(u/l); l 0: u itself."""

    beta: float
    linear_beta: float

    def gate(self, ops: Operators, gate: Array, up: Array, activation: Activation) -> Array:
        """Whatever the activation."""
        if self.linear_beta > 0:
            up = ops.softcap(up, self.linear_beta)
        return ops.gate(gate, ops.multiply(ops.softcap(gate, self.beta), up), "sigmoid")


UNLIMITED = Limit(0.0)


@dataclass(frozen=True, slots=True)
class Dense:
    """down(activation(gate x) · up x) (Shazeer 2020); `inner_norm` stands before the last matrix.

    Without a matrix `ffn_gate`, `ffn_up` holds the gate's rows, then its own. `suffix` is the end
    of the three tensors' names.
    """

    activation: Activation
    inner_norm: Norm | None = None
    suffix: str = ""
    limit: Limit | Situ = UNLIMITED

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        down, up = w[f"ffn_down{self.suffix}"], w[f"ffn_up{self.suffix}"]
        half = down.weight.columns
        if f"ffn_gate{self.suffix}" in w or up.weight.rows == half:
            gate = w[f"ffn_gate{self.suffix}"]
        else:
            check_widths(up.weight.name, up.weight.rows, 2 * half)
            gate, up = up.part(0, half), up.part(half, 2 * half)
        y = self.limit.gate(ops, ops.linear(gate, x), ops.linear(up, x), self.activation)  # (T, F)
        if self.inner_norm is not None:
            y = self.inner_norm(ops, y, w.ffn_sub_norm)
        return ops.linear(down, y)  # (T, D)


@dataclass(frozen=True, slots=True)
class Ungated:
    """down(activation(up x)); `suffix` is the end of the two tensors' names."""

    activation: Activation
    suffix: str = ""

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        y = ops.activate(scaled_last(ops, w[f"ffn_up{self.suffix}"], x), self.activation)
        return scaled_last(ops, w[f"ffn_down{self.suffix}"], y)


def scaled_last(ops: Operators, w: Linear, x: Array) -> Array:
    """s · (W x + b): here llama.cpp multiplies by a matrix's scale behind its bias."""
    if w.scale is None or w.bias is None:
        return ops.linear(w, x)
    return ops.scale_by(ops.linear(replace(w, scale=None), x), Linear(w.scale))


SHARED = "_shexp"
"""The end of the names of an expert that every token goes through."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """Experts (Shazeer et al. 2017): a router picks a few feed-forward parts for each token.

    `ffn_gate_up_exps` holds the rows of an expert's gate, then of its up. `suffix` is the end of
    the tensors' names.
    """

    bias_names: ClassVar[tuple[str, ...]] = ("exp_probs_b.bias", "exp_probs_b")

    routing: Routing
    activation: Activation
    limit: Limit | Situ = UNLIMITED  # of gates that are matrices of their own
    gated: bool = True  # by matrices of their own, or by `ffn_gate_up_exps`
    suffix: str = "_exps"

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        return self.sum_of(ops, x, self.choose(ops, x, w), w)

    def choose(self, ops: Operators, x: Array, w: Layer) -> ExpertChoice:
        bias = w.vector(*self.bias_names)
        return ops.route(ops.linear(w.ffn_gate_inp, x), self.routing, bias)

    def sum_of(self, ops: Operators, x: Array, chosen: ExpertChoice, w: Layer) -> Array:
        """(T, D) -> (T, D): the chosen experts' results, by their weights."""
        return ops.expert_sum(self.each(ops, x, chosen, w), chosen)

    def each(self, ops: Operators, x: Array, chosen: ExpertChoice, w: Layer) -> Array:
        """(T, D) -> (T·k, D): every chosen expert's result."""
        both, down = f"ffn_gate_up{self.suffix}", w[f"ffn_down{self.suffix}"]
        if both in w:
            y = ops.expert_linear(w[both], x, chosen)  # (T·k, 2·F)
            half = down.weight.columns
            check_widths(w[both].weight.name, w[both].weight.rows, 2 * half)
            halves = ops.columns(y, 0, half), ops.columns(y, half, 2 * half)
            y = ops.gate(*halves, self.activation)
        else:
            y = ops.expert_linear(w[f"ffn_up{self.suffix}"], x, chosen)  # (T·k, F)
            if self.gated:
                gate = ops.expert_linear(w[f"ffn_gate{self.suffix}"], x, chosen)
                y = self.limit.gate(ops, gate, y, self.activation)
            else:
                y = ops.activate(y, self.activation)
        return ops.expert_linear(down, y, chosen)


@dataclass(frozen=True, slots=True)
class LatentMixture(Mixture):
    """Experts of a narrower input, whose sum is widened again; the router sees the whole one.

    `narrowed` begins the names of the two matrices, and of a `norm` of the sum that may be there.
    """

    narrowed: str = "ffn_latent"
    norm: Norm | None = None

    def sum_of(self, ops: Operators, x: Array, chosen: ExpertChoice, w: Layer) -> Array:
        y = Mixture.sum_of(self, ops, ops.linear(w[f"{self.narrowed}_down"], x), chosen, w)
        if self.norm is not None and f"{self.narrowed}_norm" in w:
            y = self.norm(ops, y, w[f"{self.narrowed}_norm"])
        return ops.linear(w[f"{self.narrowed}_up"], y)


@dataclass(frozen=True, slots=True)
class InputMixture(Mixture):
    """Weights multiply what enters an expert, here behind its two matrices, not its result."""

    def sum_of(self, ops: Operators, x: Array, chosen: ExpertChoice, w: Layer) -> Array:
        gate, up = (
            ops.multiply(ops.expert_linear(matrix, x, chosen), chosen.weights)
            for matrix in (w.ffn_gate_exps, w.ffn_up_exps)
        )
        y = ops.expert_linear(w.ffn_down_exps, ops.gate(gate, up, self.activation), chosen)
        return ops.expert_sum(y, replace(chosen, weights=ones_like(ops, chosen.weights)))


@dataclass(frozen=True, slots=True)
class Shared:
    """An expert that every token goes through; some have a gate of their own: · σ(gate x)."""

    expert: Mixer

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        y = self.expert(ops, x, w)
        if "ffn_gate_inp_shexp" not in w:
            return y
        gate = ops.activate(ops.linear(w.ffn_gate_inp_shexp, x), "sigmoid")  # (T, 1)
        return ops.multiply(y, gate)
