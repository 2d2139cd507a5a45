"""Compiling kernels in processes of their own, several at once.

Numba stays out of the process that runs the model: it takes half a second and 200 MB, and knows one
target a process, which a caller who uses Numba too may have chosen otherwise.
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

MOST_PROCESSES = 8
PROCESS_BYTES = 130_000_000  # that each holds; more are mapped


@dataclass(frozen=True, slots=True)
class Worker:
    """A module that speaks as `ops.compiled.worker` says, and the variables it is started with."""

    module: str
    arguments: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-P", "-m", self.module, *self.arguments]


def compiled(names: Sequence[str], worker: Worker, processes: int) -> Iterator[tuple[str, bytes]]:
    """Kernels by name, each as it is ready, packed for the store. Raises LeptonError."""
    waiting = list(reversed(names))
    room = _processes_that_fit()
    with ExitStack() as stack, selectors.DefaultSelector() as ready:
        for _ in range(min(processes, MOST_PROCESSES, room, len(names))):
            compiler = stack.enter_context(_Compiler(worker))
            ready.register(compiler.answers, selectors.EVENT_READ, compiler)
            compiler.ask(waiting.pop())
        while ready.get_map():
            for key, _ in ready.select():
                yield key.data.asked, key.data.answer()
                if waiting:
                    key.data.ask(waiting.pop())
                else:
                    ready.unregister(key.fileobj)


def _processes_that_fit() -> int:
    """Raises OutOfMemoryError for none."""
    free = shared_memory()
    if free.bytes < PROCESS_BYTES:
        message = f"to compile kernels takes {PROCESS_BYTES / 1e6:.0f} MB; {free}"
        raise OutOfMemoryError(message, "run `lepton warmup` once where there is more memory")
    return free.bytes // PROCESS_BYTES


def all_kernels(worker: Worker) -> list[str]:
    """The names of all kernels there are."""
    listing = [*worker.command, "--list"]
    told = subprocess.run(
        listing,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for us to hear
    )
    if told.returncode:
        raise _failure("the list of kernels", told.returncode)
    return told.stdout.split()


class _Compiler:
    """A process that compiles one kernel after another."""

    def __init__(self, worker: Worker) -> None:
        self._process = subprocess.Popen(
            worker.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment() | dict(worker.variables),
            start_new_session=True,  # Ctrl-C is for us to hear; we end it
        )
        self.asked = ""

    @property
    def answers(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def ask(self, name: str) -> None:
        assert self._process.stdin is not None
        self.asked = name
        try:
            self._process.stdin.write(f"{name}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise _failure(name, self._process.wait()) from error

    def answer(self) -> bytes:
        size = self.answers.read(LENGTH.size)
        if len(size) < LENGTH.size:
            raise _failure(self.asked, self._process.wait())
        return self.answers.read(LENGTH.unpack(size)[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def _environment() -> dict[str, str]:
    """Numba's own variables could change what is compiled; modules are found as we find them."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    return kept | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}


def _failure(what: str, code: int) -> LeptonError:
    ended = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    message = f"the compiler {ended} at the kernel {what}"
    return LeptonError(message, "`lepton doctor` tells the libraries' versions")
