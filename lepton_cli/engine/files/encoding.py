"""Values to the bytes of a format, checked for what it cannot hold."""

from collections.abc import Callable
from types import MappingProxyType

import numpy as np

from lepton_cli.engine.library.paths import kernel_folder
from ops.compiled.kernel_folder import Compiling
from ops.encoding.encoder import Encoder
from ops.machine import default_threads
from quant.bits import Bytes, Floats
from quant.errors import LeptonError
from quant.format import Format, quantize

F16_MOST, BF16_MOST, F32_MOST = 65504.0, 3.3895313892515355e38, float(np.finfo(np.float32).max)
MOST = MappingProxyType({"F16": F16_MOST, "BF16": BF16_MOST, "Q8_0": 127 * F16_MOST})
"""The largest magnitude, of formats that hold less than F32. A scale of Q8_0 is an f16."""


def open_encoder(on_compile: Callable[[Compiling], None], threads: int = 0) -> Encoder:
    """`threads` below 1: one for each core. Its owner closes it. Raises LeptonError."""
    count = threads if threads > 0 else default_threads().count
    return Encoder(kernel_folder(), count, on_compile)


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
