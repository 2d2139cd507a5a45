"""Runs the program: the one place that turns exceptions into a stderr line and an exit code."""

import errno
import os
import sys
from collections.abc import Sequence

import typer

from lepton_cli.faults import fault_report, watched_threads
from lepton_cli.ui.arguments.usage.refusals import refusal
from lepton_cli.ui.cli import app
from lepton_cli.ui.terminal.notes import complain
from quant.errors import LeptonError

INTERRUPTED, BROKEN_PIPE = 130, 141  # 128 + the signal's number, as in shells
NO_THREAD = "can't start new thread"  # Python's message if memory or a limit prevents it


def run(args: Sequence[str]) -> int:
    """The exit code: 0 ok, 1 failure, 2 usage, 3 model file, 4 context, 5 memory, 6 answer, 130 ^C.

    With LEPTON_DEBUG set, a failure is raised instead, with its traceback.
    """
    with watched_threads() as faults:
        code = _exit_code(list(args))
    return LeptonError.exit_code if faults.any and code in (0, INTERRUPTED) else code


def _exit_code(args: list[str]) -> int:
    try:
        _invoke(args)
        return 0
    except typer.Exit as end:
        return end.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `lepton ... | head`: the reader is gone
        return BROKEN_PIPE
    except Exception as error:
        if os.environ.get("LEPTON_DEBUG"):
            raise
        shown = _as_lepton_error(error)
        complain(shown)
        return shown.exit_code
    finally:
        _flush_stdout()


def _invoke(args: list[str]) -> None:
    """Like `app(args)`, but exceptions propagate, and stdout is flushed."""
    if sys.stderr is None:  # closed by the caller: drop what would go there
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  (open until the end)
    if sys.stdout is None:
        raise LeptonError("stdout is closed", "redirect it to a file or to /dev/null")
    if "_LEPTON_COMPLETE" in os.environ:  # a shell asks for completions
        app(prog_name="lepton")
    with typer.main.get_command(app).make_context("lepton", args) as context:
        context.command.invoke(context)
    sys.stdout.flush()


def _as_lepton_error(error: Exception) -> LeptonError:
    from lepton_cli.engine.loading.memory import out_of_memory  # for start-up time

    match error:
        case LeptonError():
            return error
        case typer.TyperException():
            return refusal(error)
        case RuntimeError() if str(error) == NO_THREAD:
            return out_of_memory("a thread cannot be started")
        case MemoryError():
            return out_of_memory(str(error) or "not enough memory")
        case OSError(errno=errno.ENOMEM):
            return out_of_memory("not enough memory")
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return LeptonError(f"{where}{error.strerror or error}")
    return fault_report(error)


def _flush_stdout() -> None:
    """Flushes stdout; drops what cannot be written, or Python would report it at exit."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
