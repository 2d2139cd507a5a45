"""Values to the bytes of a format, checked for what it cannot hold."""

from types import MappingProxyType

import numpy as np

from quant.bits import Bytes, Floats
from quant.errors import LeptonError
from quant.format import Format, quantize

F16_MOST, BF16_MOST, F32_MOST = 65504.0, 3.3895313892515355e38, float(np.finfo(np.float32).max)
MOST = MappingProxyType({"F16": F16_MOST, "BF16": BF16_MOST, "Q8_0": 127 * F16_MOST})
"""The largest magnitude, of formats that hold less than F32. A scale of Q8_0 is an f16."""


def encoded(name: str, kind: Format, values: Floats) -> Bytes:  # -> (bytes,)
    """Raises LeptonError for values that are not finite, or too large for the format."""
    check_values(name, kind, values)
    return quantize(kind, values).reshape(-1)


def check_values(name: str, kind: Format, values: Floats) -> None:
    """Raises LeptonError for values of the tensor that the format cannot hold."""
    largest = float(np.abs(values).max())
    if not largest <= MOST.get(kind.name, F32_MOST):
        message = f"a weight of {name} is {largest:g}, which {kind.name} cannot hold"
        finite, broken = "choose another type: --type BF16 or F32", "get the weights again"
        raise LeptonError(message, finite if np.isfinite(largest) else broken)
