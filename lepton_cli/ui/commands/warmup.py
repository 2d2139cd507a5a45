"""`lepton warmup`: compiles kernels ahead of the first run."""

import sys
from collections.abc import Sequence

from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.measure.warmup import warm_up
from lepton_cli.ui.reports.compile_notes import CompileNotes
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.output import emit


def prepare(models: Sequence[str], *, verbose: bool) -> None:
    """Raises LeptonError."""
    for result in warm_up(models, CompileNotes(verbose=verbose)):
        for one in result.left_out:
            note(f"nothing was compiled for {result.instructions} of {one}")
        if result.left_out and not result.compiled:
            continue
        if not result.compiled:
            done = f"nothing to do: the kernels for {result.instructions} are compiled already"
        else:
            kernels = f"{counted(result.compiled, 'kernel')} for {result.instructions}"
            done = f"compiled {kernels} into {result.folder}"
        emit(sys.stdout, done + "\n")
        for kind, gain in result.unpacked.items():
            faster = f"unpacking {kind} once for many tokens is {gain:.2f} times as fast here"
            emit(sys.stdout, f"{faster}: later runs do so\n")
