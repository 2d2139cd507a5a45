"""Exceptions that nobody foresaw: one line for the person, the traceback in a file."""

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

KEPT = 20  # files
LONGEST = 100_000  # characters in one


class ThreadFaults:
    """Whether one of the other threads has failed; what it was is told already."""

    def __init__(self) -> None:
        self.any = False

    def take(self, args: threading.ExceptHookArgs) -> None:
        """The main thread stops as by Ctrl-C: it may be waiting for this one."""
        if isinstance(args.exc_value, Exception):
            self.any = True
            complain(described(args.exc_value))
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


def described(error: Exception) -> LeptonError:
    """The error as it is shown. Its traceback is written to a file of the owner's (0600)."""
    message = f"a fault in Lepton: {type(error).__name__}: {error!s:.200}"
    try:
        path = _written("".join(traceback.format_exception(error)))
    except UsageError as unwritable:
        return LeptonError(f"{message} ({unwritable.message})", "LEPTON_DEBUG=1 shows where it was")
    return LeptonError(message, f"report it with {path}, which says where it was")


def _written(text: str) -> Path:
    folder = private_folder(state_folder() / "faults")
    path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 10**9:09}.txt"
    system = f"lepton {__version__}, Python {sys.version.split()[0]}, {sys.platform}"
    write_private(path, f"{system}\n{text[-LONGEST:]}")
    for old in sorted(folder.glob("*.txt"))[:-KEPT]:
        old.unlink(missing_ok=True)
    return path
