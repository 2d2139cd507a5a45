"""RWKV 6 and 7 (Peng et al. 2024, 2025): linear attention and token shift."""

from dataclasses import dataclass

from lepton_cli.models.parts.recurrence import of_length_1
from lepton_cli.models.weights import Layer
from ops.interface import Activation, Array, Linear, Operators, check_widths
from quant.errors import ModelFileError

GROUP_NORM_EPS = 64e-5
DECAY = -0.606531  # the logarithm of the strongest decay of RWKV 7
MIN_LENGTH = 1e-12  # of a key that is normalised
BRANCHES = "wkvrg"  # of RWKV 6 in the file's order: decay, keys, values, receptance, gate


def shift_difference(ops: Operators, x: Array) -> Array:
    """The previous token's row minus the token's own (token shift)."""
    return ops.add(ops.shift(x), ops.scale(x, -1.0))


def lerp(ops: Operators, x: Array, difference: Array, w: Linear, width: int) -> Array:
    """Linear interpolation between a row and the previous one, with a weight for each column."""
    return ops.add(x, scaled(ops, difference, w, width))


def scaled(ops: Operators, x: Array, w: Linear, width: int) -> Array:
    """x · w, one weight for each of `width` columns. Raises ModelFileError."""
    check_widths(w.weight.name, w.weight.columns, width)
    return ops.scale_by(x, w)


def heads_of(w: Linear, width: int) -> int:
    """How many a matrix gives. Raises ModelFileError."""
    heads = w.weight.rows // width
    if not heads or w.weight.rows % width:
        message = f"the tensor {w.weight.name} has {w.weight.rows} rows: no heads of {width}"
        raise ModelFileError(message)
    return heads


def head_norm(ops: Operators, y: Array, w: Layer, heads: int, width: int) -> Array:
    return ops.layer_norm(y, w.time_mix_ln.folded(heads), GROUP_NORM_EPS, width)


@dataclass(frozen=True, slots=True)
class TimeMix6:
    """The interpolation weights of the token shift and the decays are computed for each token."""

    head_width: int

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        decay, k, v, r, gate = self.branches(ops, x, w)
        decay = ops.activate(ops.linear(w.time_mix_decay_w1, decay), "tanh")
        up = Linear(w.time_mix_decay_w2.weight, w.time_mix_decay.weight)
        decay = ops.activate(ops.scale(ops.activate(ops.linear(up, decay), "exp"), -1.0), "exp")
        k, v = ops.linear(w.time_mix_key, k), ops.linear(w.time_mix_value, v)
        y = self.attend(ops, ops.linear(w.time_mix_receptance, r), k, v, decay, w)
        y = ops.gate(ops.linear(w.time_mix_gate, gate), y, self.activation)
        return ops.linear(w.time_mix_output, y)

    @property
    def activation(self) -> Activation:
        """Of the gate."""
        return "silu"

    def branches(self, ops: Operators, x: Array, w: Layer) -> list[Array]:
        """The input of each branch, interpolated with weights from a common first interpolation."""
        difference = shift_difference(ops, x)
        first = lerp(ops, x, difference, w.time_mix_lerp_x, w.time_mix_w1.weight.columns)
        if "time_mix_lerp_fused" in w:
            shares = w.time_mix_lerp_fused.parts(*[1] * len(BRANCHES))
        else:
            shares = [w[f"time_mix_lerp_{branch}"] for branch in BRANCHES]
        check_widths(w.time_mix_w2.weight.name, w.time_mix_w2.weight.experts, len(BRANCHES))
        rank = w.time_mix_w1.weight.rows // len(BRANCHES)
        entering = []
        for n, down in enumerate(w.time_mix_w1.parts(*[rank] * len(BRANCHES))):
            up = Linear(w.time_mix_w2.weight.matrix(n), shares[n].weight)
            share = ops.linear(up, ops.activate(ops.linear(down, first), "tanh"))
            entering.append(ops.add(x, ops.multiply(difference, share)))
        return entering

    def attend(self, ops: Operators, r: Array, k: Array, v: Array, decay: Array, w: Layer) -> Array:
        heads = heads_of(w.time_mix_receptance, self.head_width)
        y = ops.linear_attention(r, k, v, decay, heads, w.time_mix_first.weight)
        return head_norm(ops, y, w, heads, self.head_width)


@dataclass(frozen=True, slots=True)
class GatedLinear(TimeMix6):
    """RWKV 6 in place of Qwen's attention: shared heads of k and v, no bonus, no head norm."""

    @property
    def activation(self) -> Activation:
        return "sigmoid"

    def attend(self, ops: Operators, r: Array, k: Array, v: Array, decay: Array, w: Layer) -> Array:
        heads, shared = (
            heads_of(each, self.head_width) for each in (w.time_mix_receptance, w.time_mix_key)
        )
        if heads != shared:
            k, v = (ops.join([each] * (heads // shared), shared) for each in (k, v))
        k = ops.add(k, ops.scale(ops.multiply(k, decay), -1.0))
        r = ops.scale(r, self.head_width**-0.5)
        return ops.linear_attention(r, k, v, decay, heads)


@dataclass(frozen=True, slots=True)
class TimeMix7:
    """Linear attention with a generalized delta rule: decays and rates for each channel."""

    head_width: int

    def __call__(
        self, ops: Operators, x: Array, w: Layer, first: Array | None
    ) -> tuple[Array, Array]:
        """The result, and the values; `first` are those of the first layer."""
        gated = "time_mix_g1" in w
        difference = shift_difference(ops, x)
        shares = w.time_mix_lerp_fused.parts(*[1] * (5 + gated))
        width = w.time_mix_receptance.weight.columns
        r, decay, k, v, rate, *gate = (lerp(ops, x, difference, share, width) for share in shares)
        decay = ops.activate(self.low_rank(ops, decay, w, "w", "tanh"), "sigmoid")
        decay = ops.activate(ops.scale(decay, DECAY), "exp")
        rate = ops.activate(self.low_rank(ops, rate, w, "a"), "sigmoid")
        r, k = ops.linear(w.time_mix_receptance, r), ops.linear(w.time_mix_key, k)
        own = ops.linear(w.time_mix_value, v)
        values = own
        if first is not None:  # interpolated with those of the first layer
            share = ops.activate(self.low_rank(ops, v, w, "v"), "sigmoid")
            towards = ops.add(first, ops.scale(own, -1.0))
            values = ops.add(own, ops.multiply(towards, share))
        y = self.attend(ops, (r, k, values, decay, rate), w)
        if gated:
            [entering] = gate
            entering = ops.activate(ops.linear(w.time_mix_g1, entering), "sigmoid")
            y = ops.multiply(y, ops.linear(w.time_mix_g2, entering))
        return ops.linear(w.time_mix_output, y), values

    def low_rank(
        self, ops: Operators, x: Array, w: Layer, name: str, inner: Activation | None = None
    ) -> Array:
        """Two narrow matrices and a bias."""
        y = ops.linear(w[f"time_mix_{name}1"], x)
        up = Linear(w[f"time_mix_{name}2"].weight, w[f"time_mix_{name}0"].weight)
        return ops.linear(up, ops.activate(y, inner) if inner else y)

    def attend(self, ops: Operators, inputs: tuple[Array, ...], w: Layer) -> Array:
        r, k, v, decay, rate = inputs
        heads = heads_of(w.time_mix_receptance, self.head_width)
        width = w.time_mix_receptance.weight.rows
        removed = scaled(ops, k, w.time_mix_k_k, width)
        removed = of_length_1(ops, removed, self.head_width, MIN_LENGTH**2)
        replaced = scaled(ops, k, w.time_mix_k_a, width)
        k = ops.add(k, ops.add(ops.multiply(rate, replaced), ops.scale(replaced, -1.0)))
        correction = ops.scale(removed, -1.0), ops.multiply(removed, rate)
        y = ops.linear_attention(r, k, v, decay, heads, correction=correction)
        if "time_mix_ln" in w:
            y = head_norm(ops, y, w, heads, self.head_width)
        met = scaled(ops, ops.multiply(k, r), w.time_mix_r_k, width)
        met = ops.sums(met, self.head_width)
        return ops.add(y, ops.multiply(v, met))


@dataclass(frozen=True, slots=True)
class ChannelMix7:
    """down(relu(up x)²) behind a token shift."""

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        width = w.channel_mix_key.weight.columns
        k = lerp(ops, x, shift_difference(ops, x), w.channel_mix_lerp_k, width)
        k = ops.activate(ops.linear(w.channel_mix_key, k), "squared_relu")
        return ops.linear(w.channel_mix_value, k)


@dataclass(frozen=True, slots=True)
class ChannelMix6:
    """As in RWKV 7, with a gate for the result."""

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        difference, width = shift_difference(ops, x), w.channel_mix_key.weight.columns
        k = ops.linear(w.channel_mix_key, lerp(ops, x, difference, w.channel_mix_lerp_k, width))
        r = lerp(ops, x, difference, w.channel_mix_lerp_r, width)
        r = ops.linear(w.channel_mix_receptance, r)
        y = ops.linear(w.channel_mix_value, ops.activate(k, "squared_relu"))
        return ops.multiply(ops.activate(r, "sigmoid"), y)
