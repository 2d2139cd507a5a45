"""Measures the machine's limits, which a model's speed is compared with."""

import time

import numpy as np
from numpy.typing import NDArray

from ops.cpu.executor import Executor
from ops.cpu.objects import ObjectStore
from ops.cpu.records import Record
from ops.limits import MachineLimits

BUFFER_BYTES = 256 << 20  # far larger than the caches
RUN, DEPTH, LOOP = 256, 12, 64  # as in the kernels
ROUNDS = 4000  # of the multiplying loop: about a millisecond
ROUND_PRODUCTS = 64 * DEPTH * LOOP
TILE_ROUND_PRODUCTS = 16 * 4 * 16 * 16 * 64  # of four products of whole tiles, 16 times
SAMPLES, CALLS = 5, 4  # the best sample counts; calls per sample


class LimitMeter:
    """Measures with as many threads as the model uses, through the same executor."""

    def __init__(self, threads: int, kernels: ObjectStore) -> None:
        """Takes 256 MiB until it is closed."""
        kernels.prepare(("replay", "limit_read", "limit_multiply"))
        self._kernels, self._threads = kernels, threads
        self._executor = Executor(kernels, threads)
        self._buffer = np.ones(BUFFER_BYTES, np.uint8)
        self._sink = np.zeros(64 * DEPTH * (threads + 1), np.uint8)

    def measure(self) -> MachineLimits:
        """Takes about a fifth of a second."""
        read = self._seconds("limit_read", BUFFER_BYTES // RUN)
        multiplied = self._seconds("limit_multiply", ROUNDS)
        each = TILE_ROUND_PRODUCTS if self._kernels.rung.matrix_tile else ROUND_PRODUCTS
        products = self._threads * ROUNDS * each
        return MachineLimits(BUFFER_BYTES / read, products / multiplied)

    def close(self) -> None:
        self._executor.close()

    def _seconds(self, kernel: str, amount: int) -> float:
        """One call of the kernel, in the fastest sample."""
        sink = -(-self._sink.ctypes.data // 64) * 64
        operands = Record([self._buffer.ctypes.data, amount, sink])
        call = [self._kernels.address(kernel), operands.address, True]  # a barrier after each
        program = np.array([call] * CALLS, np.int64)
        return min(self._timed(program) for _ in range(SAMPLES)) / CALLS

    def _timed(self, program: NDArray[np.int64]) -> float:
        begin = time.perf_counter()
        self._executor.run((program.ctypes.data, 0, len(program)))
        return time.perf_counter() - begin
