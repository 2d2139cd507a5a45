"""`lepton warmup`: kernels are compiled ahead of the first run."""

import sys
from collections.abc import Sequence

from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.measure.warmup import warm_up
from lepton_cli.ui.reports.compile_notes import CompileNotes
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.output import emit


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
            kernels = f"{counted(warmth.compiled, 'kernel')} for {warmth.instructions}"
            done = f"compiled {kernels} into {warmth.folder}"
        emit(sys.stdout, done + "\n")
