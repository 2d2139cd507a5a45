"""Signals during an answer: the first ends the answer and keeps it, the second ends the program.

Callers may put gentler steps before these, each with its own event.
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
    """The last signal that came, by `number`."""

    number: int = signal.SIGINT

    @property
    def exit_code(self) -> int:
        """The exit code, as in shells."""
        return 128 + self.number


@contextmanager
def interrupting(
    *events: threading.Event, signals: Sequence[signal.Signals] = CTRL_C
) -> Iterator[Interruption]:
    """Each signal sets the next event; after the last one, a signal raises KeyboardInterrupt.

    A signal that the parent process ignored (nohup, a script's `&`) stays ignored.
    """
    came = Interruption()

    def stop(number: int, frame: FrameType | None) -> None:
        came.number = number
        waiting = [event for event in events if not event.is_set()]
        if not waiting:
            raise KeyboardInterrupt
        waiting[0].set()

    previous = {number: signal.getsignal(number) for number in signals}
    handled = [number for number, handler in previous.items() if handler is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, stop)
    try:
        yield came
    finally:
        for number in handled:
            signal.signal(number, previous[number])
