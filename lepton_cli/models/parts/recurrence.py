"""Token mixers with a state of fixed size."""

from dataclasses import dataclass

from lepton_cli.models.parts.block import Norm
from lepton_cli.models.weights import Layer
from ops.interface import Array, DeltaHeads, Linear, Operators, check_widths


@dataclass(frozen=True, slots=True)
class ShortConvolution:
    """out(c · conv(b · u)), where one matrix gives b, c and u (Hasani et al. 2025)."""

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        fused = w["shortconv.in_proj"]
        width = fused.weight.rows // 3
        b, c, u = (ops.linear(part, x) for part in fused.parts(width, width, width))  # (T, D)
        y = ops.convolve(ops.multiply(b, u), w["shortconv.conv"])
        return ops.linear(w["shortconv.out_proj"], ops.multiply(c, y))


@dataclass(frozen=True, slots=True)
class GatedDelta:
    """Gated delta net (Yang et al. 2024): a short convolution, the delta rule, a gated norm.

    q and k have the length 1, the heads' results a norm before their gate σ(z)·z.
    """

    heads: DeltaHeads
    norm: Norm
    eps: float  # of the lengths

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        qkv, z = self.project(ops, x, w)
        rate, decay = self.controls(ops, x, w)
        heads, widths = self.heads, self.widths
        check_widths(w.ssm_conv1d.weight.name, w.ssm_conv1d.weight.rows, sum(widths))
        mixed = ops.activate(ops.convolve(qkv, w.ssm_conv1d), "silu")  # (T, C)
        q, k, v = (
            ops.columns(mixed, sum(widths[:n]), sum(widths[: n + 1])) for n in range(len(widths))
        )
        q, k = self.of_length_1(ops, q), self.of_length_1(ops, k)
        y = ops.delta_rule(q, k, v, decay, rate, heads)  # (T, H*e)
        check_widths(w.ssm_norm.weight.name, w.ssm_norm.weight.columns, heads.value_width)
        return ops.linear(w.ssm_out, ops.gate(z, self.norm(ops, y, w.ssm_norm), "silu"))

    @property
    def widths(self) -> tuple[int, int, int]:
        """Of q, k and v."""
        heads = self.heads
        keys = heads.key_heads * heads.key_width
        return keys, keys, heads.heads * heads.value_width

    def project(self, ops: Operators, x: Array, w: Layer) -> tuple[Array, Array]:
        """q, k and v side by side, and z."""
        for each, rows in ((w.attn_qkv, sum(self.widths)), (w.attn_gate, self.widths[-1])):
            check_widths(each.weight.name, each.weight.rows, rows)
        return ops.linear(w.attn_qkv, x), ops.linear(w.attn_gate, x)

    def controls(self, ops: Operators, x: Array, w: Layer) -> tuple[Array, Array]:
        """Each head's rate σ(b), and its decay e^(a · softplus(x))."""
        weights = self.control_weights(w)
        for each in weights:
            check_widths(each.weight.name, each.weight.rows, self.heads.heads)
        rate, step = (ops.linear(each, x) for each in weights)
        grown = ops.scale_by(ops.activate(step, "softplus"), Linear(w.weight("ssm_a")))
        return ops.activate(rate, "sigmoid"), ops.activate(grown, "exp")

    def control_weights(self, w: Layer) -> tuple[Linear, Linear]:
        """Of the rates and, with a bias, of the decays."""
        return w.ssm_beta, Linear(w.ssm_alpha.weight, w.weight("ssm_dt.bias"))

    def of_length_1(self, ops: Operators, x: Array) -> Array:
        """x / √(Σ x² + eps) for each head."""
        width = self.heads.key_width
        return ops.scale(ops.rms_norm(x, width, self.eps / width), width**-0.5)
