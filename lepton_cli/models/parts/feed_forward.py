"""Channel mixers: dense feed-forward parts, and mixtures of experts."""

from dataclasses import dataclass, replace

from lepton_cli.models.parts.block import Norm
from lepton_cli.models.weights import Layer
from ops.interface import Activation, Array, Chosen, Linear, Operators, Routing, check_widths


@dataclass(frozen=True, slots=True)
class Dense:
    """down(activation(gate x) · up x) (Shazeer 2020); `inner_norm` stands before the last matrix.

    Without a matrix `ffn_gate`, `ffn_up` holds the gate's rows, then its own.
    """

    activation: Activation
    inner_norm: Norm | None = None

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        half = w.ffn_down.weight.columns
        if "ffn_gate" in w:
            gate, up = w.ffn_gate, w.ffn_up
        else:
            check_widths(w.ffn_up.weight.name, w.ffn_up.weight.rows, 2 * half)
            gate, up = w.ffn_up.part(0, half), w.ffn_up.part(half, 2 * half)
        y = ops.gate(ops.linear(gate, x), ops.linear(up, x), self.activation)  # (T, F)
        if self.inner_norm is not None:
            y = self.inner_norm(ops, y, w.ffn_sub_norm)
        return ops.linear(w.ffn_down, y)  # (T, D)


@dataclass(frozen=True, slots=True)
class Ungated:
    """down(activation(up x))."""

    activation: Activation

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        return scaled_last(
            ops, w.ffn_down, ops.activate(scaled_last(ops, w.ffn_up, x), self.activation)
        )


def scaled_last(ops: Operators, w: Linear, x: Array) -> Array:
    """s · (W x + b): here llama.cpp multiplies by a matrix's scale behind its bias."""
    if w.scale is None or w.bias is None:
        return ops.linear(w, x)
    return ops.scale_by(ops.linear(replace(w, scale=None), x), Linear(w.scale))


@dataclass(frozen=True, slots=True)
class Mixture:
    """Experts (Shazeer et al. 2017): a router picks a few feed-forward parts for each token."""

    routing: Routing
    activation: Activation

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        chosen = ops.route(ops.linear(w.ffn_gate_inp, x), self.routing)
        gate, up = self.project(ops, x, w, chosen)  # (T*k, F) each
        y = ops.expert_linear(w.ffn_down_exps, ops.gate(gate, up, self.activation), chosen)
        return ops.expert_sum(y, chosen)  # (T, D)

    def project(self, ops: Operators, x: Array, w: Layer, chosen: Chosen) -> tuple[Array, Array]:
        """A merged tensor holds each expert's gate and then its `up`."""
        if "ffn_gate_up_exps" not in w:
            gate = ops.expert_linear(w.ffn_gate_exps, x, chosen)
            return gate, ops.expert_linear(w.ffn_up_exps, x, chosen)
        merged, width = w.ffn_gate_up_exps, w.ffn_down_exps.weight.columns
        check_widths(merged.weight.name, merged.weight.rows, 2 * width)
        both = ops.expert_linear(merged, x, chosen)  # (T*k, 2F)
        return ops.columns(both, 0, width), ops.columns(both, width, 2 * width)


@dataclass(frozen=True, slots=True)
class SharedExpert:
    """A mixture, and one more expert beside it that every token meets.

    It counts σ(ffn_gate_inp_shexp · x), where the file has that vector.
    """

    mixture: Mixture

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        gate, up = ops.linear(w.ffn_gate_shexp, x), ops.linear(w.ffn_up_shexp, x)
        y = ops.linear(w.ffn_down_shexp, ops.gate(gate, up, self.mixture.activation))
        if "ffn_gate_inp_shexp" in w:
            share = ops.activate(ops.linear(w.ffn_gate_inp_shexp, x), "sigmoid")  # (T, 1)
            y = ops.multiply(y, share)
        return ops.add(self.mixture(ops, x, w), y)
