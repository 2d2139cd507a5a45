"""Compiles all kernels for a card that is elsewhere: its time is not spent on the compiler."""

import os
from pathlib import Path

from ops.compiled.compiling import Worker, compile_kernels
from ops.cuda.compile.codes import card_kernels
from ops.cuda.kernels import KERNELS


def compile_ahead(target: str, cache: Path) -> str:
    """`target`: sm_90, for instance. Into `cache`, which is there to be XDG_CACHE_HOME.

    Found there by the same versions of Python packages only. Raises LeptonError.
    """
    shelf = card_kernels(cache / "lepton" / "kernels", target)
    missing = [name for name in KERNELS if not shelf.read(name)]
    worker = Worker("ops.cuda.compile.worker", (target,))
    for name, packed in compile_kernels(missing, worker, os.cpu_count() or 1):
        shelf.write(name, packed)
    return f"{len(missing)} of {len(KERNELS)} kernels compiled into {shelf.folder}"
