"""The first thing that runs: Ctrl-C is quiet from here on, also while the program is imported.

Until then it is Python's own: what is imported before costs milliseconds in which Ctrl-C prints a
traceback. So nothing is, but what Python has imported already.
"""

import _signal  # type: ignore[import-not-found]  # `signal` makes enumerations of it first
import gc
import os
import sys

INTERRUPTED = 130  # 128 and the signal's number, as shells tell it
OBJECTS = 100_000  # made between collections: a start keeps what it makes, and lost 4 % to them


def main() -> None:
    heeded = _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler  # not under nohup
    if heeded:
        _signal.signal(_signal.SIGINT, _leave)
    gc.set_threshold(OBJECTS)
    try:
        code = run(sys.argv[1:], heeded=heeded)
    except KeyboardInterrupt:
        code = INTERRUPTED
    # everything is flushed; Python would take a tenth of a second to free what the system frees
    os._exit(code)


def run(args: list[str], *, heeded: bool = False) -> int:
    """The exit code of `lepton ARGS`. While a command runs, Ctrl-C is a KeyboardInterrupt."""
    from lepton_cli import program  # not before Ctrl-C is quiet

    if not heeded:
        return program.run(args)
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    try:
        return program.run(args)
    finally:
        _signal.signal(_signal.SIGINT, _leave)


def _leave(*_: object) -> None:
    """Nothing is written yet, or all is."""
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
