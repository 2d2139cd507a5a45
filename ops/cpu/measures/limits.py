"""Measures the machine's limits, which a model's speed is compared with."""

import time
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ops.cpu.executor import Executor
from ops.cpu.formats import bf16_formats, quantized_formats
from ops.cpu.instruction_sets.rung import Rung
from ops.cpu.objects import ObjectStore
from ops.cpu.records import Record
from ops.limits import MachineLimits
from ops.program import Program

BUFFER_BYTES = 256 << 20  # far larger than the caches
RUN, DEPTH, LOOP = 256, 12, 64  # as in the kernels
ROUNDS = 4000  # of the multiplying loop: about a millisecond
REGISTERS, TILES = DEPTH * LOOP, 16 * 4 * 16 * 16  # that a round multiplies; sums of whole tiles
FILL = 0x3C  # a byte of what is read and multiplied: bytes, or ordinary numbers
SAMPLES, CALLS = 5, 4  # the best sample counts; calls per sample


@dataclass(frozen=True, slots=True)
class Method:
    """How a rung multiplies: a kernel, its multiply-adds in a round, and what it multiplies."""

    kernel: str
    round: float
    numbers: str


def method_of(kind: str, rung: Rung) -> Method:
    """How a rung multiplies the weights of a format."""
    terms = bf16_formats(rung).get(kind)
    if kind in quantized_formats():
        each = 64 * (TILES if rung.matrix_tile else REGISTERS)
        return Method("limit_multiply", each, "8 bits")
    if terms is None:
        return Method("limit_multiply_floats", 16 * REGISTERS, "float32")
    each = 32 * (TILES if rung.matrix_tile else REGISTERS)
    if terms == 1:
        return Method("limit_multiply_bf16", each, "BF16")
    return Method("limit_multiply_bf16", each / 3, f"{kind} as three products of BF16")


def most_multiplied(program: Program) -> str:
    """The format of most of the weights in products; F32 if there are none."""
    sizes = Counter[str]()
    for use in program.weights():
        if use.role == "product":
            sizes[use.weight.format.name] += len(use.weight.data) * use.weight.columns
    return max(sizes, key=sizes.__getitem__, default="F32")


class LimitMeter:
    """Measures with as many threads as the model uses, through the same executor."""

    def __init__(self, threads: int, kernels: ObjectStore, kind: str) -> None:
        """`kind`: the format of the weights. Takes 256 MiB until it is closed."""
        self._method = method_of(kind, kernels.rung)
        kernels.prepare(("replay", "limit_read", self._method.kernel))
        self._kernels, self._threads = kernels, threads
        self._executor = Executor(kernels, threads)
        self._buffer = np.full(BUFFER_BYTES, FILL, np.uint8)
        self._sink = np.zeros(64 * DEPTH * (threads + 1), np.uint8)

    def measure(self) -> MachineLimits:
        """Takes about a fifth of a second."""
        read = self._seconds("limit_read", BUFFER_BYTES // RUN)
        multiplied = self._seconds(self._method.kernel, ROUNDS)
        products = self._threads * ROUNDS * self._method.round
        return MachineLimits(BUFFER_BYTES / read, products / multiplied, self._method.numbers)

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
