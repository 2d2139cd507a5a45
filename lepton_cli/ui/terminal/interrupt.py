"""Signals during an answer: the first ends the answer and keeps it, the second ends everything.

Where there is a gentler way to end, that is an event of its own before.
"""

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

CTRL_C = (signal.SIGINT,)
ALL = (*CTRL_C, signal.SIGTERM) + (() if sys.platform == "win32" else (signal.SIGHUP,))


@dataclass(slots=True)
class Interruption:
    """`number` is that of the last signal that came."""

    number: int = signal.SIGINT

    @property
    def exit_code(self) -> int:
        """As shells tell it."""
        return 128 + self.number


@contextmanager
def interrupting(
    *events: threading.Event, signals: Sequence[signal.Signals] = CTRL_C
) -> Iterator[Interruption]:
    """A signal sets the next event; once all are set, one raises KeyboardInterrupt.

    Where the parent had a signal ignored (nohup, a script's `&`) it stays ignored.
    """
    came = Interruption()

    def stop(number: int, frame: FrameType | None) -> None:
        came.number = number
        waiting = [event for event in events if not event.is_set()]
        if not waiting:
            raise KeyboardInterrupt
        waiting[0].set()

    previous = {number: signal.getsignal(number) for number in signals}
    heeded = [number for number, handler in previous.items() if handler is not signal.SIG_IGN]
    for number in heeded:
        signal.signal(number, stop)
    try:
        yield came
    finally:
        for number in heeded:
            signal.signal(number, previous[number])
