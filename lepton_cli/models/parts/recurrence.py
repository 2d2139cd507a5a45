"""Token mixers with a state of fixed size."""

from dataclasses import dataclass

from lepton_cli.models.weights import Layer
from ops.interface import Array, Operators


@dataclass(frozen=True, slots=True)
class ShortConvolution:
    """out(c · conv(b · u)), where one matrix gives b, c and u (Hasani et al. 2025)."""

    def __call__(self, ops: Operators, x: Array, w: Layer) -> Array:
        fused = w["shortconv.in_proj"]
        width = fused.weight.rows // 3
        b, c, u = (ops.linear(part, x) for part in fused.parts(width, width, width))  # (T, D)
        y = ops.convolve(ops.multiply(b, u), w["shortconv.conv"])
        return ops.linear(w["shortconv.out_proj"], ops.multiply(c, y))
