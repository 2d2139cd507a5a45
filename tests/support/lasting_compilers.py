"""Compiler processes that stay for the next test: each takes most of a second to start."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ops.compiled import compiling
from ops.compiled.compiling import Worker

MOST_IDLE = 4  # as many take half a gigabyte


class _LastingCompiler(compiling._Compiler):
    """Goes back to the idle ones if it owes no answer."""

    def __init__(self, key: object, worker: Worker, idle: "list[_LastingCompiler]") -> None:
        super().__init__(worker)
        self.key, self._idle, self._owed = key, idle, 0

    def ask(self, name: str) -> None:
        self._owed += 1
        super().ask(name)

    def answer(self) -> bytes:
        packed = super().answer()
        self._owed -= 1
        return packed

    def __exit__(self, *ended: object) -> None:
        if self._owed:
            self.end()
            return
        self._idle.append(self)
        if len(self._idle) > MOST_IDLE:
            self._idle.pop(0).end()

    def end(self) -> None:
        super().__exit__()


@contextmanager
def lasting_compilers() -> Iterator[None]:
    """Serves `compile_kernels`; where pytest-xdist has a process for each CPU, by one at once.

    A test that sets a variable of Numba gets a compiler that was started with it.
    """
    idle: list[_LastingCompiler] = []

    def take(worker: Worker) -> _LastingCompiler:
        numba = [item for item in sorted(os.environ.items()) if item[0].startswith("NUMBA_")]
        key = worker, sys.path.copy(), numba
        for compiler in idle:
            if compiler.key == key:
                idle.remove(compiler)
                return compiler
        return _LastingCompiler(key, worker, idle)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiling, "_Compiler", take)
        if "PYTEST_XDIST_WORKER" in os.environ:
            patch.setattr(compiling, "MAX_PROCESSES", 1)
        yield
    for compiler in idle:
        compiler.end()
