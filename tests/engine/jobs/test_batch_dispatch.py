"""Rows of a batch on the workers of a cluster: who gets which, and what a lost worker costs."""

import threading
from itertools import count
from types import SimpleNamespace

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.decoding.scheduler import Request
from lepton_cli.engine.jobs.dispatch import CHUNK, MAX_LOSSES, SUSPECT, Dispatch
from lepton_cli.engine.jobs.running import Tally, Waiting
from lepton_cli.ui.reports.batch_meter import BatchMeter

NUMBERS = count()


def dispatch(rows: int, jobs: int | None = 4) -> Dispatch[int]:
    return Dispatch((Request(key, (1,), Generation()) for key in range(rows)), jobs)


def given(one: Dispatch[int], *workers: str) -> dict[int, tuple[str, list[int]]]:
    """Task -> worker and the rows' keys, of all that can be given out now."""
    tasks = {}
    while (assignment := one.next(workers)) is not None:
        task = next(NUMBERS)
        one.start(task, assignment)
        tasks[task] = (assignment.worker, [row.key for row in assignment.rows])
    return tasks


def test_the_least_busy_worker_gets_the_next_rows_until_all_are_busy():
    tasks = given(dispatch(100), "a", "b")
    assert [worker for worker, _ in tasks.values()] == ["a", "b", "a", "b"]
    assert [rows[0] for _, rows in tasks.values()] == [0, CHUNK, 2 * CHUNK, 3 * CHUNK]


def test_no_row_is_asked_for_before_a_worker_has_room():
    asked = []
    rows = (asked.append(key) or Request(key, (1,), Generation()) for key in range(100))
    one = Dispatch[int](rows, 2)
    assert one.next([]) is None
    assert asked == []


def test_a_batch_is_finished_when_its_last_task_is():
    one = dispatch(CHUNK)
    (task,) = given(one, "a")
    assert one.unfinished
    one.finish(task)
    assert not one.unfinished


def test_rows_of_a_lost_worker_are_given_out_again_before_new_ones():
    one = dispatch(100)
    tasks = given(one, "a", "b")
    lost = one.of_lost_workers(["b"])
    assert lost == [task for task, (worker, _) in tasks.items() if worker == "a"]
    assert one.lose(lost) == []
    assert not any(one.holds(task) for task in lost)
    again = [rows for _, rows in given(one, "b", "c").values()]
    assert again[:2] == [tasks[task][1] for task in lost]
    assert all(rows[0] >= 4 * CHUNK for rows in again[2:])


def test_a_task_that_is_lost_twice_counts_once():
    one = dispatch(CHUNK)
    (task,) = given(one, "a")
    one.lose([task])
    one.lose([task])
    assert [rows for _, rows in given(one, "a").values()] == [list(range(CHUNK))]


def test_a_lost_connection_is_no_fault_of_the_rows():
    one = dispatch(CHUNK)
    for _ in range(2 * MAX_LOSSES):
        one.recall(given(one, "a"))
    assert [rows for _, rows in given(one, "a").values()] == [list(range(CHUNK))]


def test_a_row_that_kills_every_worker_fails_alone():
    one, deadly, answered, failed = dispatch(30), 6, [], []
    workers = (f"worker {number}" for number in count())
    while one.unfinished:
        tasks = given(one, next(workers))
        killed = any(deadly in rows for _, rows in tasks.values())
        for task, (_, rows) in tasks.items():
            if not killed:
                one.finish(task)
                answered += rows
        failed += one.lose(one.of_lost_workers([]))
    assert [outcome.key for outcome in failed] == [deadly]
    assert f"{MAX_LOSSES} workers were lost" in str(failed[0].error)
    assert sorted([*answered, deadly]) == list(range(30))


def test_a_row_that_was_lost_alone_is_the_first_of_the_next_worker():
    """So workers that come and go, each with time for a row, answer all rows."""
    one, failed = dispatch(40), []
    while one.unfinished:
        for task in [*given(one, "a")][:1]:
            one.finish(task)
        given(one, "a")
        failed += one.lose(one.tasks)
    assert failed == []


def test_nothing_else_runs_beside_a_suspect_row():
    one = dispatch(100)
    for _ in range(SUSPECT):
        given(one, "a")
        one.lose(one.tasks)
    assert [rows for _, rows in given(one, "a", "b").values()] == [[0], [1]]


def test_the_bar_says_what_a_cluster_lacks():
    run = SimpleNamespace(tally=Tally(), last=threading.Event())
    meter = BatchMeter(run, total=2)
    assert meter._words() == "rows, 0 t/s"
    run.tally.waiting = Waiting("worker", "dask worker tcp://here:1", 60.0)
    assert meter._words() == "no worker, waiting"
