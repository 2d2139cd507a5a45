"""Progress messages for compiling kernels."""

from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.measure.warmup import Compiling, seconds
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.status_line import StatusLine


class CompileNotes:
    """Reports compiling, which takes seconds, on stderr: a note, or a counter on a terminal.

    The counter is erased at the end. Kernels that cannot be stored or used are reported once.
    """

    def __init__(self, *, verbose: bool) -> None:
        self._verbose, self._lost, self._told = verbose, False, False
        self._line = StatusLine()

    def __call__(self, compiling: Compiling) -> None:
        if compiling.lost and not self._lost:
            self._note_once(f"{compiling.lost.message}; {compiling.lost.hint}")
            self._lost = True
        elif compiling.ignored and not self._told:
            why = f"{compiling.ignored.message}; {compiling.ignored.hint}"
            self._note_once(f"a stored kernel is not used: {why}")
        how_far = f"{compiling.done} of {compiling.total}"
        often = "each time" if self._lost else "only this once"
        if self._line.draws and not self._verbose:
            far = f"lepton: compiling kernels: {how_far} (for this machine, {often})"
            self._line(far if compiling.done < compiling.total else "")
        elif not compiling.done:
            how_long = f"about {seconds(compiling.total)} s, {often}"
            note(f"compiling {counted(compiling.total, 'kernel')} for this machine ({how_long})")
        elif self._verbose:
            note(f"compiled {compiling.kernel} ({how_far})")

    def _note_once(self, text: str) -> None:
        self._line("")  # of others, too
        note(text)
        self._told = True
