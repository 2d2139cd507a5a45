"""The time of a step of many small operators on a busy machine, as a table.

python benchmarks/parts/barriers.py

250 operators of some 5 microseconds, as a small model has them in a token: on as many threads as
cores, on twice as many, and beside one foreign busy process a core.
"""

import multiprocessing
import os
import time

import numpy as np

from lepton_cli.engine.library.paths import cache_folder
from ops.backend import CpuBackend, Resources
from ops.interface import Array, Linear, Operators, Step, Weight
from ops.machine import default_threads
from ops.memory_plan import Limits
from ops.recorder import record
from ops.state.sequence import SequenceState
from quant.format import FORMATS

OPERATORS, WIDTH, STEPS = 250, 512, 40


def forward(ops: Operators) -> Array:
    """A chain of operators, each of which depends on the previous one."""
    x = ops.embed(TABLE)
    for _ in range(OPERATORS):
        x = ops.linear(MATRIX, x)
    return x


def _weight(rows: int) -> Weight:
    values = np.random.default_rng(0).standard_normal((rows, WIDTH), dtype=np.float32) / 23
    return Weight("w", FORMATS["F32"], WIDTH, values.view(np.uint8))


TABLE, MATRIX = _weight(4), Linear(_weight(WIDTH))


def milliseconds(threads: int) -> tuple[float, float]:
    """The median and the slowest of some steps."""
    resources = Resources(threads, cache_folder() / "kernels", lambda state: None)
    runner = CpuBackend(("f16", "f16"), resources).open(record(forward), Limits(1, 1))
    step = Step(np.zeros(1, np.int32), np.zeros(1, np.int32), np.zeros(1, np.int32))
    times = []
    for _ in range(STEPS):
        start = time.perf_counter()
        runner.run(step, [SequenceState(runner.pool)])
        times.append(1e3 * (time.perf_counter() - start))
    runner.close()
    return float(np.median(times)), max(times)


def _busy() -> None:
    while True:
        pass


def main() -> None:
    cores = default_threads().count
    cases = [("idle", cores, 0), ("twice as many threads as cores", 2 * cores, 0)]
    cases += [("one busy process a core", cores, os.cpu_count() or 1)]
    print("| case | threads | median ms | slowest ms | median, of idle |")
    print("|---|---:|---:|---:|---:|")
    milliseconds(cores)  # compiles, warms up
    idle = 0.0
    for name, threads, foreign in cases:
        others = [multiprocessing.Process(target=_busy, daemon=True) for _ in range(foreign)]
        for other in others:
            other.start()
        median, slowest = milliseconds(threads)
        for other in others:
            other.kill()
        idle = idle or median
        ratio = median / idle
        print(f"| {name} | {threads} | {median:.1f} | {slowest:.1f} | {ratio:.1f}x |")


if __name__ == "__main__":
    main()
