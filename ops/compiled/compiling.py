"""Compiles kernels in separate processes, several at once.

Numba stays out of the process that runs the model: importing it takes half a second and 200 MB, and
it supports one target per process, which a caller who also uses Numba may have set otherwise.
"""

import os
import selectors
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Self

from ops.compiled.worker import LENGTH
from ops.machine import shared_memory
from quant.errors import LeptonError, OutOfMemoryError

MAX_PROCESSES = 8
PROCESS_BYTES = 130_000_000  # resident memory of each


@dataclass(frozen=True, slots=True)
class Worker:
    """How to start a process that speaks the protocol of `ops.compiled.worker`."""

    module: str
    arguments: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-P", "-m", self.module, *self.arguments]


def compile_kernels(
    names: Sequence[str], worker: Worker, processes: int
) -> Iterator[tuple[str, bytes]]:
    """Yields (name, packed kernel) as each one is ready. Raises LeptonError."""
    waiting = list(reversed(names))
    room = _processes_that_fit()
    with ExitStack() as stack, selectors.DefaultSelector() as ready:
        for _ in range(min(processes, MAX_PROCESSES, room, len(names))):
            compiler = stack.enter_context(_Compiler(worker))
            ready.register(compiler.answers, selectors.EVENT_READ, compiler)
            compiler.ask(waiting.pop())
        while ready.get_map():
            for key, _ in ready.select():
                yield key.data.current, key.data.answer()
                if waiting:
                    key.data.ask(waiting.pop())
                else:
                    ready.unregister(key.fileobj)


def _processes_that_fit() -> int:
    """How many compilers fit into memory. Raises OutOfMemoryError if none does."""
    free = shared_memory()
    if free.bytes < PROCESS_BYTES:
        message = f"compiling kernels takes {PROCESS_BYTES / 1e6:.0f} MB; {free}"
        raise OutOfMemoryError(message, "run `lepton warmup` once where there is more memory")
    return free.bytes // PROCESS_BYTES


def all_kernels(worker: Worker) -> list[str]:
    """The names of all kernels that exist."""
    listing = [*worker.command, "--list"]
    result = subprocess.run(
        listing,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C must reach only this process
    )
    if result.returncode:
        raise _failure("listing the kernels", result.returncode)
    return result.stdout.split()


class _Compiler:
    """A process that compiles one kernel after another."""

    def __init__(self, worker: Worker) -> None:
        self._process = subprocess.Popen(
            worker.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment() | dict(worker.variables),
            start_new_session=True,  # Ctrl-C must reach only this process, which ends it
        )
        self.current = ""  # the kernel being compiled

    @property
    def answers(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def ask(self, name: str) -> None:
        assert self._process.stdin is not None
        self.current = name
        try:
            self._process.stdin.write(f"{name}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise _failure(f"compiling {name}", self._process.wait()) from error

    def answer(self) -> bytes:
        size = self.answers.read(LENGTH.size)
        if len(size) < LENGTH.size:
            raise _failure(f"compiling {self.current}", self._process.wait())
        return self.answers.read(LENGTH.unpack(size)[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def _environment() -> dict[str, str]:
    """Our variables without Numba's, which could change the code; modules from our own path."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    return ours | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}


def _failure(task: str, code: int) -> LeptonError:
    ended = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    message = f"the compiler {ended} while {task}"
    return LeptonError(message, "`lepton doctor` shows the versions of the libraries")
