"""Token mixers with a state space: Mamba (Gu and Dao 2023) and Mamba-2 (Dao and Gu 2024)."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from lepton_cli.models.keys import Keys
from lepton_cli.models.parts.block import Norm
from lepton_cli.models.weights import Layer
from ops.interface import Array, Operators, check_widths


@dataclass(frozen=True, slots=True)
class Mamba:
    """Each channel has rates of decay and a step size of its own.

    With an `inner_eps` the step size, b and c are normalised, with weights if `has_inner_weights`.
    """

    order: ClassVar[tuple[str, ...]] = ("dt", "b", "c")  # of the rows of `ssm_x`

    width: int
    rank: int  # of the step sizes
    rows: int  # of a channel's state
    taps: int  # of the convolution
    inner_eps: float | None = None
    has_inner_weights: bool = False
    has_bias: bool = True  # of the convolution

    @classmethod
    def read(
        cls, keys: Keys, inner_eps: float | None = None, has_inner_weights: bool = False
    ) -> Self:
        return cls(
            width=keys.positive("ssm.inner_size"),
            rank=keys.positive("ssm.time_step_rank"),
            rows=keys.positive("ssm.state_size"),
            taps=keys.positive("ssm.conv_kernel"),
            inner_eps=inner_eps,
            has_inner_weights=has_inner_weights,
        )

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        values, gate = self.enter(ops, x, w)  # (T, C) each
        taps = w.ssm_conv1d
        check_widths(taps.weight.name, taps.weight.columns, self.taps)
        if self.has_bias:
            taps = replace(taps, bias=w.weight("ssm_conv1d.bias"))
        values = ops.activate(ops.convolve(values, taps), "silu")
        sizes = {"dt": self.rank, "b": self.rows, "c": self.rows}
        parts = w.ssm_x.parts(*(sizes[name] for name in self.order))
        found = {
            name: self.normalised(ops, ops.linear(part, values), f"ssm_{name}_norm", w)
            for name, part in zip(self.order, parts, strict=True)
        }
        step = replace(w.ssm_dt, bias=w.weight("ssm_dt.bias"))
        step = ops.activate(ops.linear(step, found["dt"]), "softplus")
        rates, skip = w.weight("ssm_a"), w.weight("ssm_d")
        y = ops.selective_scan(values, step, found["b"], found["c"], rates, skip, 1)
        return ops.linear(w.ssm_out, ops.gate(gate, y, "silu"))

    def enter(self, ops: Operators, x: Array, w: Layer) -> tuple[Array, Array]:
        """The values, and what gates the results."""
        values, gate = (ops.linear(part, x) for part in w.ssm_in.parts(self.width, self.width))
        return values, gate

    def normalised(self, ops: Operators, x: Array, norm: str, w: Layer) -> Array:
        if self.inner_eps is None:
            return x
        width = self.rank if norm == "ssm_dt_norm" else self.rows
        if not self.has_inner_weights:
            return ops.rms_norm(x, width, self.inner_eps)
        return ops.rms_norm(x, w[norm], self.inner_eps)


@dataclass(frozen=True, slots=True)
class Mamba2:
    """Heads with one rate of decay and one step size each; heads share b and c in groups."""

    width: int
    heads: int
    rows: int  # of a head's state
    groups: int
    taps: int  # of the convolution
    norm: Norm  # of the groups' results
    always_norms: bool = True

    @classmethod
    def read(cls, keys: Keys, norm: Norm, always_norms: bool = True) -> Self:
        return cls(
            width=keys.positive("ssm.inner_size"),
            heads=keys.positive("ssm.time_step_rank"),
            rows=keys.positive("ssm.state_size"),
            groups=keys.positive("ssm.group_count"),
            taps=keys.positive("ssm.conv_kernel"),
            norm=norm,
            always_norms=always_norms,
        )

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        shared = self.groups * self.rows
        mixed = (self.width, shared, shared)  # the values, b and c
        gate, *parts, step = w.ssm_in.parts(self.width, *mixed, self.heads)
        step = replace(step, bias=w.weight("ssm_dt.bias"))
        gate, step, *entering = (ops.linear(part, x) for part in (gate, step, *parts))
        check_widths(w.ssm_conv1d.weight.name, w.ssm_conv1d.weight.columns, self.taps)
        taps = w.ssm_conv1d.parts(*mixed)
        entering = [ops.convolve(*each) for each in zip(entering, taps, strict=True)]
        values, b, c = (ops.activate(each, "silu") for each in entering)
        step, rates, skip = ops.activate(step, "softplus"), w.weight("ssm_a"), w.weight("ssm_d")
        y = ops.selective_scan(values, step, b, c, rates, skip, self.groups)  # (T, C)
        y = ops.gate(gate, y, "silu")
        if self.always_norms or "ssm_norm" in w:
            check_widths(w.ssm_norm.weight.name, w.ssm_norm.weight.rows, self.groups)
            y = self.norm(ops, y, w.ssm_norm, self.width // self.groups)
        return ops.linear(w.ssm_out, y)
