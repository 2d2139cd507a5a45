"""The first thing that runs: Ctrl-C is quiet from here on, also while the program is imported."""

import gc
import os
import signal
import sys
from collections.abc import Sequence

INTERRUPTED = 130  # 128 and the signal's number, as shells tell it
OBJECTS = 100_000  # made between collections: a start keeps what it makes, and lost 4 % to them


def main() -> None:
    gc.set_threshold(OBJECTS)
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # nohup ignores it
    if heeded:
        signal.signal(signal.SIGINT, _leave)
    try:
        code = run(sys.argv[1:], heeded=heeded)
    except KeyboardInterrupt:
        code = INTERRUPTED
    # everything is flushed; Python would take a tenth of a second to free what the system frees
    os._exit(code)


def run(args: Sequence[str], *, heeded: bool = False) -> int:
    """The exit code of `lepton ARGS`. Once all is imported, Ctrl-C is a KeyboardInterrupt again."""
    from lepton_cli import program  # not before Ctrl-C is quiet

    if heeded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return program.run(args)


def _leave(*_: object) -> None:
    """Nothing is written yet."""
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
