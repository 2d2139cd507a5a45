"""Launches of norms."""

from collections.abc import Iterator

from ops.cuda.device.device import Launch
from ops.cuda.lowering.lower import (
    WARP,
    Lowered,
    Lowering,
    Rules,
    StepAddresses,
    rounded_up,
)
from ops.interface import Weight
from ops.operations.norms import LayerNorm, RmsNorm, RmsNormQuantize

NORM_THREADS = 512


WARP_BYTES = 4 * NORM_THREADS // WARP  # of shared memory: a float a warp


def _rms_norm(low: Lowering, op: RmsNorm) -> Lowered:
    assert op.weights is not None, "other norms are refused"
    return _norm(low, "rms_norm", op, op.width, (op.weights.weight,))


def _rms_norm_quantize(low: Lowering, op: RmsNormQuantize) -> Lowered:
    return _norm(low, "rms_norm_quantize", op, op.x.width, (op.w.weight,))


def _layer_norm(low: Lowering, op: LayerNorm) -> Lowered:
    return _norm(low, "layer_norm", op, op.x.width, (op.w.weight, op.w.bias))


def _norm(
    low: Lowering,
    name: str,
    op: RmsNorm | RmsNormQuantize | LayerNorm,
    width: int,
    vectors: tuple[Weight | None, ...],
) -> Lowered:
    """One thread block per stretch of `width` columns; its size does not depend on the step."""
    placed = [low.placing.floats(vector) for vector in vectors]
    threads = min(NORM_THREADS, rounded_up(width, WARP) * WARP)

    def launches(at: StepAddresses) -> Iterator[Launch]:
        addresses = [low.placing.address(one) for one in placed]
        operands = (at[op.x], at[op.y], *addresses, width, float(op.eps))
        grid = (at.rows(op.x) * (op.x.width // width), 1, 1)
        yield Launch(name, grid, threads, operands, WARP_BYTES)

    return Lowered(launches, (name,))


RULES: Rules = {
    LayerNorm: _layer_norm,
    RmsNorm: _rms_norm,
    RmsNormQuantize: _rms_norm_quantize,
}
