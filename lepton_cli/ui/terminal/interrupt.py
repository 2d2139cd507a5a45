"""Ctrl-C during an answer: the first ends the answer and keeps it, the second ends everything.

Where there is a gentler way to end, that is an event of its own before.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupting(*events: threading.Event) -> Iterator[None]:
    """Ctrl-C sets the next event; once all are set, Ctrl-C raises KeyboardInterrupt again.

    Where the parent had the signal ignored (nohup, a script's `&`) it stays ignored.
    """
    previous = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: FrameType | None) -> None:
        waiting = [event for event in events if not event.is_set()]
        if not waiting:
            raise KeyboardInterrupt
        waiting[0].set()

    if previous is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
