"""`lepton warmup`, and how far compiling has come wherever it happens."""

import sys
from collections.abc import Sequence

from lepton_cli.engine.warmup import Compiling, warm_up
from lepton_cli.ui.notes import note
from lepton_cli.ui.output import emit
from lepton_cli.ui.terminal import redraws

ERASE_LINE = "\r\x1b[K"


def prepare(models: Sequence[str], *, verbose: bool) -> None:
    """Raises LeptonError."""
    for warmth in warm_up(models, CompileNotes(verbose=verbose)):
        for one in warmth.left_out:
            note(f"nothing was compiled for {warmth.instructions} of {one}")
        if warmth.left_out and not warmth.compiled:
            continue
        if not warmth.compiled:
            done = f"nothing to do: the kernels for {warmth.instructions} are there"
        else:
            kernels = f"{warmth.compiled} kernels for {warmth.instructions}"
            done = f"compiled {kernels} into {warmth.folder}"
        emit(sys.stdout, done + "\n")


class CompileNotes:
    """Kernels are compiled once a machine; that takes seconds, so it is told, on stderr.

    A terminal sees one line that counts, and that goes when all is done.
    """

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose
        self._counts = not verbose and sys.stderr is not None and redraws(sys.stderr)

    def __call__(self, compiling: Compiling) -> None:
        how_far = f"{compiling.done} of {compiling.total}"
        if self._counts:
            ended = compiling.done == compiling.total
            line = "" if ended else f"lepton: compiling kernels for this machine, once: {how_far}"
            print(ERASE_LINE + line, end="", file=sys.stderr, flush=True)
        elif not compiling.done:
            note(f"compiling {compiling.total} kernels for this machine: some seconds, once")
        elif self._verbose:
            note(f"compiled {compiling.kernel} ({how_far})")
