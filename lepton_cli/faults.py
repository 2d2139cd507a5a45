"""Unexpected exceptions: one line for the user, the traceback in a file."""

import signal
import sys
import threading
import time
import traceback
from _thread import interrupt_main
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lepton_cli.engine.library.paths import private_folder, state_folder, write_private
from lepton_cli.ui.terminal.notes import complain
from lepton_cli.version import __version__
from quant.errors import LeptonError, UsageError

MAX_FILES = 20
MAX_CHARACTERS = 100_000  # of a traceback


class ThreadFaults:
    """Whether another thread has failed; the failure itself is already reported."""

    def __init__(self) -> None:
        self.any = False

    def take(self, args: threading.ExceptHookArgs) -> None:
        """Reports the failure and interrupts the main thread, which may be waiting for this one."""
        if isinstance(args.exc_value, Exception):
            self.any = True
            complain(fault_report(args.exc_value))
            _interrupt_main_thread()


def _interrupt_main_thread() -> None:
    ident = threading.main_thread().ident
    if sys.platform == "win32" or ident is None:
        interrupt_main()
    else:  # a signal also ends a wait for a lock
        signal.pthread_kill(ident, signal.SIGINT)


@contextmanager
def watched_threads() -> Iterator[ThreadFaults]:
    faults, before = ThreadFaults(), threading.excepthook
    threading.excepthook = faults.take
    try:
        yield faults
    finally:
        threading.excepthook = before


def fault_report(error: Exception) -> LeptonError:
    """The error to show; its traceback is written to a private file (0600)."""
    message = f"a fault in Lepton: {type(error).__name__}: {error!s:.200}"
    try:
        path = _write_report("".join(traceback.format_exception(error)))
    except UsageError as unwritable:
        return LeptonError(f"{message} ({unwritable.message})", "LEPTON_DEBUG=1 shows where")
    return LeptonError(message, f"please report it with the traceback in {path}")


def _write_report(text: str) -> Path:
    folder = private_folder(state_folder() / "faults")
    path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 10**9:09}.txt"
    system = f"lepton {__version__}, Python {sys.version.split()[0]}, {sys.platform}"
    write_private(path, f"{system}\n{text[-MAX_CHARACTERS:]}")
    for old in sorted(folder.glob("*.txt"))[:-MAX_FILES]:
        old.unlink(missing_ok=True)
    return path
