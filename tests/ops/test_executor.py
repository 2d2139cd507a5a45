"""The executor: many threads, stopping at any moment, and the plan of its buffers."""

import contextlib
import gc
import os
import threading
from queue import Empty

import numpy as np
import pytest
from passes import kernel_folder, open_on_cpu, resources
from test_fusion import Any

from ops.cpu.executor import Executor
from ops.cpu.objects import ObjectStore
from ops.cpu.records import Record
from ops.interface import Interrupted, Linear, Step, Weight
from ops.memory_plan import Limits, plan
from ops.operations.base import Buffer
from ops.state.sequence import SequenceState
from quant.format import FORMATS

WIDTH = 64


def weight(rows: int, columns: int) -> Weight:
    values = np.random.default_rng(0).standard_normal((rows, columns), dtype=np.float32)
    return Weight("w", FORMATS["F32"], columns, values.view(np.uint8))


def chain(length: int):
    """A forward pass of many small operators: mostly barriers."""
    table, matrix = weight(10, WIDTH), Linear(weight(WIDTH, WIDTH))

    def forward(ops):
        x = ops.embed(table)
        for _ in range(length):
            x = ops.scale(ops.linear(matrix, x), 1 / 8)
        return x

    return forward


def one_step() -> Step:
    return Step(np.array([3], np.int32), np.zeros(1, np.int32), np.zeros(1, np.int32))


def run_once(runner, interrupt: threading.Event | None = None):
    return runner.run(one_step(), [SequenceState(runner.pool)], interrupt)


def opened(forward, threads: int):
    return open_on_cpu(forward, Limits(1, 1), threads=threads)


@pytest.mark.parametrize("threads", [1, 2, 5, 2 * (os.cpu_count() or 1)])
def test_any_number_of_threads_gives_the_same_bytes(threads):
    results = []
    for count in (1, threads):
        runner = opened(chain(30), count)
        results.append(np.stack([run_once(runner).copy() for _ in range(20)]))
        runner.close()
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("threads", [2, 64])
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system cannot take a core")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="the only core cannot be taken away")
def test_a_machine_that_loses_its_cores_but_one_gives_the_same_bytes(threads):
    runner = opened(chain(10), threads)
    expected = run_once(runner).copy()
    cores, tasks = os.sched_getaffinity(0), [int(task) for task in os.listdir("/proc/self/task")]
    try:
        for task in tasks:
            os.sched_setaffinity(task, {min(cores)})
        for _ in range(5):
            np.testing.assert_array_equal(run_once(runner), expected)
    finally:
        for task in tasks:
            os.sched_setaffinity(task, cores)
    runner.close()


def test_a_job_goes_on_while_python_does_other_work():
    allowed = resources(2)
    store = ObjectStore(allowed.kernels, allowed.on_compile)
    source, sums = np.zeros(1 << 14, np.uint8), np.zeros(1 << 14, np.uint8)
    long = Record([source.ctypes.data, 50_000, sums.ctypes.data])  # some tenths of a second
    program = np.array([(store.address("limit_multiply"), long.address, 1)], np.int64)
    executor = Executor(store, 2)
    executor.begin((program.ctypes.data, np.zeros(8, np.int64).ctypes.data, len(program)))
    assert executor._done == [0, 0]
    executor.wait()
    assert executor._done == [1, 1]
    executor.close()


def test_an_interrupt_breaks_a_step_off_and_the_next_one_runs():
    runner = opened(chain(300), 2)
    expected = run_once(runner).copy()
    asked = threading.Event()
    asked.set()
    broken = 0
    for _ in range(50):  # a step may be through before the flag is seen
        try:
            run_once(runner, asked)
        except Interrupted:
            broken += 1
    assert broken
    np.testing.assert_array_equal(run_once(runner), expected)
    runner.close()


class Struck:
    """A queue at whose n-th use Ctrl-C strikes, before or after the queue has done its work."""

    def __init__(self, queue, use: int, method: str, *, after: bool) -> None:
        self._queue, self._left, self._method, self._after = queue, use, method, after

    def __getattr__(self, name):
        method = getattr(self._queue, name)
        if name != self._method:
            return method

        def struck(*arguments, **options):
            self._left -= 1
            if self._left != 0:
                return method(*arguments, **options)
            if self._after:
                with contextlib.suppress(Empty):  # on a loaded machine
                    method(*arguments, **options)
            raise KeyboardInterrupt

        return struck


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("place", "method"), [("_finished", "get"), ("_wake", "put")])
def test_ctrl_c_may_strike_anywhere(place, method, after):
    runner = opened(chain(50), 3)
    expected = run_once(runner).copy()
    executor = runner._executor
    for use in (1, 2):
        whole = getattr(executor, place)
        if place == "_finished":
            executor._finished = Struck(whole, use, method, after=after)
        else:
            executor._wake = [whole[0], Struck(whole[1], 1, method, after=after), whole[2]]
        with pytest.raises(KeyboardInterrupt):
            for _ in range(20):
                run_once(runner)
        setattr(executor, place, whole)
        for _ in range(5):
            np.testing.assert_array_equal(run_once(runner), expected)
    runner.close()


def test_threads_end_with_a_runner_that_nobody_closed():
    before = threading.active_count()
    runner = opened(chain(1), 3)
    del runner
    gc.collect()
    assert threading.active_count() == before


def test_closing_ends_the_threads():
    before = threading.active_count()
    runner = opened(chain(1), 3)
    assert threading.active_count() == before + 3
    runner.close()
    assert threading.active_count() == before


def test_kernels_are_kept_in_the_cache_folder():
    opened(chain(1), 1).close()
    assert list(kernel_folder().glob("*/replay.kernel"))


def test_buffers_that_live_together_do_not_overlap():
    random = np.random.default_rng(4)
    buffers = [Buffer("tokens", 1, int(random.integers(1, 90))) for _ in range(40)]
    operations = [
        Any(tuple(buffers[max(0, n - int(random.integers(1, 6))) : n]), buffer)
        for n, buffer in enumerate(buffers)
    ]
    limits = Limits(3, 1)
    places, total = plan(operations, limits, buffers[5])
    last = {b: n for n, op in enumerate(operations) for b in (*op.inputs, *op.outputs)}
    last[buffers[5]] = len(operations)
    size = {b: 4 * 3 * b.width for b in buffers}
    for n, a in enumerate(buffers):
        for b in buffers[n + 1 : last[a] + 1]:
            apart = places[a] + size[a] <= places[b] or places[b] + size[b] <= places[a]
            assert apart
    assert total < sum(size.values())
