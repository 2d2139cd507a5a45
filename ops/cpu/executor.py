"""Replays a program: parked threads, one call without the GIL a step, a stop flag for Ctrl-C."""

import ctypes
import os
import platform
import sys
import threading
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from ops.cpu.layout import (
    FUTEX,
    SPIN,
    STOP,
    SYNC_FIELDS,
    WAIT_FUNCTION,
    WAIT_KIND,
    WAIT_NUMBER,
    YIELD,
)
from ops.interface import Interrupted

FUTEX_NUMBERS = {"x86_64": 202, "aarch64": 98, "riscv64": 98}
POLL_SECONDS = 0.05  # how often the waiting main thread looks for an interrupt

Job = tuple[int, int, int]  # addresses of the program and the step, number of operators


class Executor:
    """Owns the worker threads. One step at a time; the calling thread only waits."""

    def __init__(self, replay: int, threads: int) -> None:
        """`replay` is the address of the replay kernel."""
        self.threads = threads
        self._replay = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 6)(replay)
        self._sync = np.zeros(SYNC_FIELDS, np.int64)
        kind, function, number = _waiting()
        self._sync[[WAIT_KIND, WAIT_FUNCTION, WAIT_NUMBER]] = kind, function, number
        self._jobs: list[SimpleQueue[Job | None]] = [SimpleQueue() for _ in range(threads)]
        self._finished: SimpleQueue[int] = SimpleQueue()
        self._workers = [
            threading.Thread(target=self._work, args=(n,), name=f"lepton-{n}", daemon=True)
            for n in range(threads)
        ]
        for worker in self._workers:
            worker.start()

    def run(self, job: Job, interrupt: threading.Event | None = None) -> None:
        """Raises Interrupted when `interrupt` is set (or KeyboardInterrupt came) before the end."""
        self._sync[STOP : STOP + 2] = 0
        for queue in self._jobs:
            queue.put(job)
        left = self.threads
        try:
            while left:
                left -= self._finish(interrupt)
        except KeyboardInterrupt:
            self._sync[STOP] = 1
            while left:
                left -= self._finish(None)
            raise
        if self._sync[STOP]:
            raise Interrupted

    def _finish(self, interrupt: threading.Event | None) -> int:
        """Waits for one worker; gives how many have finished meanwhile."""
        if interrupt is not None and interrupt.is_set():
            self._sync[STOP] = 1
        try:
            self._finished.get(timeout=POLL_SECONDS)
        except Empty:
            return 0
        return 1

    def _work(self, thread: int) -> None:
        while (job := self._jobs[thread].get()) is not None:
            program, step, count = job
            self._replay(program, count, step, thread, self.threads, self._sync.ctypes.data)
            self._finished.put(thread)

    def close(self) -> None:
        for queue in self._jobs:
            queue.put(None)
        for worker in self._workers:
            worker.join()


def _waiting() -> tuple[int, int, int]:
    """How a thread waits at a barrier: kind, address of the C function, system call number."""
    number = FUTEX_NUMBERS.get(platform.machine())
    if sys.platform == "linux" and number is not None and sys.maxsize > 1 << 32:
        return FUTEX, _address(ctypes.CDLL(None).syscall), number
    if os.name == "posix":
        return YIELD, _address(ctypes.CDLL(None).sched_yield), 0
    return SPIN, 0, 0


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0
