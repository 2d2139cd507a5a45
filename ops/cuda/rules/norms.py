"""Launches of norms."""

from collections.abc import Iterator

from ops.cuda.device.device import Launch
from ops.cuda.kernels.elementwise import NORM_THREADS
from ops.cuda.kernels.intrinsics.kernel import operands_of
from ops.cuda.kernels.intrinsics.primitives import WARP
from ops.cuda.kernels.operands import Norm
from ops.cuda.lowering.lower import (
    Lowered,
    Lowering,
    Rules,
    StepAddresses,
    rounded_up,
)
from ops.interface import Linear
from ops.operations.norms import LayerNorm, RmsNorm, RmsNormQuantize

WARP_BYTES = 4 * NORM_THREADS // WARP  # of shared memory: one float per warp


def _rms_norm(low: Lowering, op: RmsNorm) -> Lowered:
    return _norm(low, "rms_norm", op, op.width, op.w)


def _rms_norm_quantize(low: Lowering, op: RmsNormQuantize) -> Lowered:
    return _norm(low, "rms_norm_quantize", op, op.x.width, op.w)


def _layer_norm(low: Lowering, op: LayerNorm) -> Lowered:
    return _norm(low, "layer_norm", op, op.width, op.w)


def _norm(
    low: Lowering,
    name: str,
    op: RmsNorm | RmsNormQuantize | LayerNorm,
    width: int,
    w: Linear | None,
) -> Lowered:
    """One thread block per stretch of `width` columns; its size does not depend on the step."""
    vectors = (w.weight, w.bias) if w else (None, None)
    weight, bias = map(low.placing.floats, vectors)
    weight_rows = w.weight.rows if w else 1
    threads = min(NORM_THREADS, rounded_up(width, WARP) * WARP)

    def launches(step: StepAddresses) -> Iterator[Launch]:
        record = Norm(
            x=step[op.x],
            y=step[op.y],
            weight=low.placing.address(weight),
            bias=low.placing.address(bias),
            weight_rows=weight_rows,
            width=width,
            eps=float(op.eps),
        )
        grid = (step.rows(op.x) * (op.x.width // width), 1, 1)
        yield Launch(name, grid, threads, operands_of(record), WARP_BYTES)

    return Lowered(launches, (name,))


RULES: Rules = {
    LayerNorm: _layer_norm,
    RmsNorm: _rms_norm,
    RmsNormQuantize: _rms_norm_quantize,
}
