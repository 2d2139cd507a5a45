"""The entry point: from here on Ctrl-C exits without a traceback, also during imports.

Before that, Ctrl-C prints Python's traceback. So this file imports only modules that Python has
imported already.
"""

import _signal  # type: ignore[import-not-found]  # `signal` takes time to import
import gc
import os
import sys

INTERRUPTED = 130  # 128 + the signal's number, as in shells
OBJECTS = 1_000_000  # between garbage collections: a start makes 200,000 that all stay


def main() -> None:
    # false under nohup
    handles_interrupt = _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler
    if handles_interrupt:
        _signal.signal(_signal.SIGINT, _leave)
    gc.set_threshold(OBJECTS)
    # NumPy's threads wait for work from its import on; at first they would spin for 0.1 s
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")  # 2^4 ticks of the clock
    try:
        code = run(sys.argv[1:], handles_interrupt=handles_interrupt)
    except KeyboardInterrupt:
        code = INTERRUPTED
    # everything is flushed; Python's own shutdown would take a tenth of a second
    os._exit(code)


def run(args: list[str], *, handles_interrupt: bool = False) -> int:
    """The exit code of `lepton ARGS`. While a command runs, Ctrl-C is a KeyboardInterrupt."""
    from lepton_cli import program  # not before Ctrl-C is quiet

    if not handles_interrupt:
        return program.run(args)
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    try:
        return program.run(args)
    finally:
        _signal.signal(_signal.SIGINT, _leave)


def _leave(*_: object) -> None:
    """Exits at once: nothing is written yet, or everything is."""
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
