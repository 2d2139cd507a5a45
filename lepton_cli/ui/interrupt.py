"""Ctrl-C during an answer: the first ends the answer and keeps it, the second ends everything."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupting(event: threading.Event) -> Iterator[None]:
    """Ctrl-C sets the event; once it is set, Ctrl-C raises KeyboardInterrupt again.

    Where the parent had the signal ignored (nohup, a script's `&`) it stays ignored.
    """
    previous = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: FrameType | None) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    if previous is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
