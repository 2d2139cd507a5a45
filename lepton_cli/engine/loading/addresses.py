"""An early check of the address space limit, before NumPy and its threads take their share."""

import os

from ops.machine import address_limit
from quant.errors import OutOfMemoryError

MIN_ADDRESS_SPACE = 450_000_000  # bytes for imports and kernels (400 MB with two threads)


def check_addresses() -> None:
    """Raises OutOfMemoryError if not even the libraries fit (they would fail obscurely)."""
    limit = address_limit()
    if limit is None:
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # each thread takes address space
    if limit < MIN_ADDRESS_SPACE:
        message = f"ulimit -v allows {limit / 1e6:.0f} MB of addresses; Lepton itself takes "
        message += f"{MIN_ADDRESS_SPACE / 1e6:.0f} MB, and a model its size twice"
        raise OutOfMemoryError(message, "raise it where it is set, or run Lepton elsewhere")
