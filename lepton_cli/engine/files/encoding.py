"""Values to the bytes of a format, checked for what it cannot hold."""

import numpy as np

from quant.bits import Bytes, Floats
from quant.errors import LeptonError
from quant.format import Format, quantize

MOST = {"F16": 65504.0}
"""The largest magnitude, of formats that hold less than F32."""


def encoded(name: str, kind: Format, values: Floats) -> Bytes:  # -> (bytes,)
    """Raises LeptonError for values that are not finite, or too large for the format."""
    largest = float(np.abs(values).max())
    if not largest <= MOST.get(kind.name, float(np.finfo(np.float32).max)):
        message = f"a weight of {name} is {largest:g}, which {kind.name} cannot hold"
        raise LeptonError(message, "choose another type: --type BF16 or F32")
    return quantize(kind, values).reshape(-1)
