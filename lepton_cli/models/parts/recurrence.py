"""Token mixers with a state of fixed size."""

from dataclasses import dataclass, replace

from lepton_cli.models.parts.block import Norm
from lepton_cli.models.weights import Layer
from ops.interface import Activation, Array, DeltaHeads, Linear, Operators, check_widths


@dataclass(frozen=True, slots=True)
class ShortConvolution:
    """out(c · conv(b · u)), where one matrix gives b, c and u (Hasani et al. 2025)."""

    taps: int

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        fused = w["shortconv.in_proj"]
        width = fused.weight.rows // 3
        b, c, u = (ops.linear(part, x) for part in fused.parts(width, width, width))  # (T, D)
        conv = w["shortconv.conv"]
        check_widths(conv.weight.name, conv.weight.columns, self.taps)
        y = ops.convolve(ops.multiply(b, u), conv)
        return ops.linear(w["shortconv.out_proj"], ops.multiply(c, y))


@dataclass(frozen=True, slots=True)
class GatedDelta:
    """Gated delta net (Yang et al. 2024): a short convolution, the delta rule, a gated norm.

    q and k have the length 1, the heads' results a norm before their gate of z.
    """

    heads: DeltaHeads
    norm: Norm
    eps: float  # of the lengths
    taps: int  # of the convolution
    gate: Activation = "silu"

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        qkv, z = self.project(ops, x, w)
        rate, decay = self.controls(ops, x, w)
        heads, widths = self.heads, self.widths
        check_widths(w.ssm_conv1d.weight.name, w.ssm_conv1d.weight.rows, sum(widths))
        check_widths(w.ssm_conv1d.weight.name, w.ssm_conv1d.weight.columns, self.taps)
        mixed = ops.activate(ops.convolve(qkv, w.ssm_conv1d), "silu")  # (T, C)
        q, k, v = (
            ops.columns(mixed, sum(widths[:n]), sum(widths[: n + 1])) for n in range(len(widths))
        )
        q, k = (of_length_1(ops, each, heads.key_width, self.eps) for each in (q, k))
        y = ops.delta_rule(q, k, v, decay, rate, heads)  # (T, H*e)
        y = self.norm(ops, y, w.ssm_norm, heads.value_width)
        return ops.linear(w.ssm_out, ops.gate(z, y, self.gate))

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


@dataclass(frozen=True, slots=True)
class KimiDelta:
    """Kimi delta attention (Moonshot AI 2025): the delta rule with a decay for each row of S.

    q, k and v have a short convolution each. The logarithm of a decay is a · softplus(f), or,
    where it has a lower `bound`, bound · σ(sign · a · f), with an f of each column and an a of each
    head.
    """

    heads: DeltaHeads
    norm: Norm
    eps: float  # of the lengths
    taps: int  # of the convolution
    bound: float | None = None
    sign: float = 1.0  # for which files hold a

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        heads = self.heads
        q, k, v = (
            self.convolved(ops, ops.linear(matrix, x), w[f"ssm_conv1d_{name}"])
            for name, matrix in zip("qkv", self.matrices(w), strict=True)
        )
        q, k = (of_length_1(ops, each, heads.key_width, self.eps) for each in (q, k))
        rate = ops.activate(ops.linear(w.ssm_beta, x), "sigmoid")  # (T, H)
        y = ops.delta_rule(q, k, v, self.decay(ops, x, w), rate, heads)  # (T, H*e)
        y = self.norm(ops, y, w.ssm_norm, heads.value_width)
        gates = [w.ssm_g if "ssm_g" in w else w.ssm_g_a]
        gates += [w.ssm_g_b] if "ssm_g_b" in w else []
        gate = self.through(ops, x, gates)
        return ops.linear(w.attn_output, ops.gate(gate, y, "sigmoid"))

    def matrices(self, w: Layer) -> list[Linear]:
        """Of q, k and v."""
        rows = self.heads.heads * self.heads.key_width
        if "attn_qkv" in w:
            return w.attn_qkv.parts(rows, rows, rows)
        for each in (w.attn_q, w.attn_k, w.attn_v):
            check_widths(each.weight.name, each.weight.rows, rows)
        return [w.attn_q, w.attn_k, w.attn_v]

    def convolved(self, ops: Operators, x: Array, taps: Linear) -> Array:
        """Files have an axis of size 1 between channels and taps."""
        matrix = replace(taps.weight, experts=1)
        check_widths(matrix.name, matrix.columns, self.taps)
        return ops.activate(ops.convolve(x, Linear(matrix, taps.bias)), "silu")

    def decay(self, ops: Operators, x: Array, w: Layer) -> Array:  # (T, D) -> (T, H*d)
        first = [w.ssm_f_a] if "ssm_f_b" in w else []
        last = w.ssm_f_b if first else w.ssm_f_a
        f = self.through(ops, x, [*first, replace(last, bias=w.weight("ssm_dt.bias"))])
        rates = Linear(w.weight("ssm_a").folded(1))
        check_widths(rates.weight.name, rates.weight.columns, self.heads.heads)
        if self.bound is None:
            grown = ops.scale_by(ops.activate(f, "softplus"), rates)
        else:
            f = ops.scale(ops.scale_by(f, rates), self.sign)
            grown = ops.scale(ops.activate(f, "sigmoid"), self.bound)
        return ops.activate(grown, "exp")

    def through(self, ops: Operators, x: Array, matrices: list[Linear]) -> Array:
        """x through one matrix, or through the two factors of one."""
        for each in matrices:
            x = ops.linear(each, x)
        return x


def of_length_1(ops: Operators, x: Array, width: int, eps: float) -> Array:
    """x / √(Σ x² + eps) for each head."""
    return ops.scale(ops.rms_norm(x, width, eps / width), width**-0.5)
