"""Runs a program on worker threads: one call without the GIL per step, a stop flag for Ctrl-C."""

import contextlib
import ctypes
import os
import platform
import sys
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ops.cpu.layout import (
    CLOCK,
    FUTEX,
    STOP,
    SYNC_FIELDS,
    TIMES,
    WAIT_FUNCTION,
    WAIT_KIND,
    WAIT_NUMBER,
    YIELD,
)
from ops.interface import Interrupted
from quant.errors import UsageError

FUTEX_NUMBERS = {"x86_64": 202, "aarch64": 98, "riscv64": 98}
POLL_SECONDS = 0.05  # how often the waiting main thread looks for an interrupt

Job = tuple[int, int, int]  # addresses of the program and of the step, number of operators


class KernelSource(Protocol):
    """Compiled kernels."""

    def address(self, name: str) -> int: ...


class Executor:
    """Owns the worker threads. One step at a time; the calling thread only waits."""

    def __init__(self, kernels: KernelSource, threads: int) -> None:
        self.threads = threads
        self._replay = _function(kernels.address("replay"), 6)
        self._sync = np.zeros(SYNC_FIELDS, np.int64)
        kind, function, number = _waiting()
        self._sync[[WAIT_KIND, WAIT_FUNCTION, WAIT_NUMBER]] = kind, function, number
        self._sync[CLOCK] = _clock()
        self._job: tuple[int, Job] = (0, (0, 0, 0))  # the number of a job, and the job
        self._done = [0] * threads  # the number of the last job that each worker finished
        self._wake: list[SimpleQueue[None]] = [SimpleQueue() for _ in range(threads)]
        self._finished: SimpleQueue[None] = SimpleQueue()
        self._process, self._closed = os.getpid(), False
        self._workers = [
            threading.Thread(target=self._work, args=(n,), name=f"lepton-{n}", daemon=True)
            for n in range(threads)
        ]
        for worker in self._workers:
            worker.start()

    def timed(self, job: Job) -> NDArray[np.float64]:
        """Runs a job; returns the time in seconds at which each operator ended."""
        if not self._sync[CLOCK]:
            raise UsageError("operators cannot be timed on this system", "leave out --profile")
        times = np.zeros((job[2], 2), np.int64)
        self._sync[TIMES] = times.ctypes.data
        self.run(job)
        self._sync[TIMES] = 0
        seconds: NDArray[np.float64] = times[:, 0] + times[:, 1] * 1e-9
        return seconds

    def begin(self, job: Job) -> None:
        """Starts a job without waiting for it. Raises UsageError after `close`."""
        if self._closed or os.getpid() != self._process:
            raise UsageError("the model is closed, or belongs to another process", "load it again")
        self.wait()
        self._sync[STOP : STOP + 2] = 0
        self._job = self._job[0] + 1, job
        for call in self._wake:
            call.put(None)

    def run(self, job: Job, interrupt: threading.Event | None = None) -> None:
        """Raises Interrupted when `interrupt` is set before the end, UsageError after `close`."""
        try:
            self.begin(job)
            self.wait(interrupt)
        except BaseException:  # Ctrl-C at any point: no worker may go on
            self._sync[STOP] = 1
            self.wait()
            raise
        if self._sync[STOP]:
            raise Interrupted

    def wait(self, interrupt: threading.Event | None = None) -> None:
        """Waits until the job is done; may be interrupted anywhere and called again.

        Jobs are numbered, and waking a worker twice does no harm.
        """
        number = self._job[0]
        while min(self._done) < number and not self._closed:
            for done, call in zip(self._done, self._wake, strict=True):
                if done < number and call.empty():
                    call.put(None)
            if interrupt is not None and interrupt.is_set():
                self._sync[STOP] = 1
            with contextlib.suppress(Empty):
                self._finished.get(timeout=POLL_SECONDS)

    def _work(self, thread: int) -> None:
        while True:
            self._wake[thread].get()
            if self._closed:
                return
            number, (program, step, count) = self._job
            if number == self._done[thread]:
                continue
            self._replay(program, count, step, thread, self.threads, self._sync.ctypes.data)
            self._done[thread] = number
            self._finished.put(None)

    def close(self) -> None:
        """Ends the threads; may be called again."""
        if os.getpid() != self._process:
            return  # a forked child has no workers
        self._sync[STOP] = 1
        self.wait()
        self._closed = True
        for call in self._wake:
            call.put(None)
        for worker in self._workers:
            worker.join()


def _function(address: int, arguments: int) -> Callable[..., None]:
    """A kernel as a Python function of this many int64."""
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arguments)(address)


def _waiting() -> tuple[int, int, int]:
    """How a thread sleeps at a barrier: kind, address of the C function, system call number."""
    number = FUTEX_NUMBERS.get(platform.machine())
    if sys.platform == "linux" and number is not None and sys.maxsize > 1 << 32:
        return FUTEX, _address(ctypes.CDLL(None).syscall), number
    if sys.platform == "win32":
        return YIELD, _address(ctypes.WinDLL("kernel32").SwitchToThread), 0
    return YIELD, _address(ctypes.CDLL(None).sched_yield), 0


def _clock() -> int:
    """The address of clock_gettime; 0 on systems without it, where operators cannot be timed."""
    function = (
        None if sys.platform == "win32" else getattr(ctypes.CDLL(None), "clock_gettime", None)
    )
    return _address(function) if function else 0


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0
