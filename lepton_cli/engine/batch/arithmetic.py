"""What computes an answer's sums: machines that agree in it give the same bytes."""

import os
import platform

from ops.cpu.objects import host_features
from ops.cpu.rungs import choose_rung


def arithmetic(backend: str) -> str:
    """Like x86_64.avx512. Raises UsageError for a wrong LEPTON_CPU."""
    if backend == "reference":
        return backend
    return f"{platform.machine()}.{choose_rung(host_features(), os.environ).name}"
