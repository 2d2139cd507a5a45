"""The kernel that ranks logits, against a stable sort by NumPy."""

import ctypes
import os

import numpy as np
import pytest
from passes import open_on_cpu

from ops.cpu.compiling import aim
from ops.cpu.kernels.output.largest import largest
from ops.cpu.kernels.simd.compiler import c_function
from ops.cpu.layout import LARGEST, OUTPUTS, STEP_FIELDS, maxima_room
from ops.cpu.processor import host_features
from ops.cpu.records import Record
from ops.cpu.rungs import choose_rung
from ops.cpu.runner import RANKED_WIDTH
from ops.interface import Linear, Step, Weight
from ops.logits import RankedLogits
from ops.memory_plan import Limits
from ops.state.sequence import SequenceState
from quant.format import FORMATS

RANDOM = np.random.default_rng(3)


@pytest.fixture(scope="module")
def kernel():
    aim(choose_rung(host_features(), os.environ))
    compiled = c_function(largest, 4)  # owns the code
    yield ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(compiled.address)


def ranked(kernel, logits):  # (O, V) -> ids and values (O, LARGEST)
    ids = np.zeros((len(logits), LARGEST), np.int32)
    values = np.zeros(ids.shape, np.float32)
    width = logits.shape[1]
    maxima = np.full(maxima_room(width) + 1, 7, np.float32)
    places = [array.ctypes.data for array in (logits, ids, values, maxima)]
    record, step = Record([*places, width, 0, OUTPUTS]), np.zeros(STEP_FIELDS, np.int64)
    step[OUTPUTS] = len(logits)
    kernel(record.address, step.ctypes.data, 0, 1)
    assert maxima[-1] == 7
    return ids, values


def rows(kind, width):
    logits = RANDOM.standard_normal((3, width)).astype(np.float32)
    if kind == "ties":
        return np.round(logits)
    if kind == "ascending":
        return np.sort(logits)
    return np.zeros_like(logits) if kind == "equal" else logits


@pytest.mark.parametrize("width", [1, 63, 64, 65, 5000, 40000])
@pytest.mark.parametrize("kind", ["random", "ties", "ascending", "equal"])
def test_the_largest_are_the_first_of_a_stable_sort(kernel, kind, width):
    logits = rows(kind, width)
    ids, values = ranked(kernel, logits)
    want = np.argsort(-logits, axis=1, kind="stable")[:, :LARGEST]
    assert (ids[:, : want.shape[1]] == want).all()
    assert (values[:, : want.shape[1]] == np.take_along_axis(logits, want, 1)).all()


@pytest.mark.parametrize("place", [0, 70, 4990, 4999])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_logit_that_is_not_finite_is_told(kernel, bad, place):
    logits = rows("random", 5000)
    logits[1, place] = bad
    _, values = ranked(kernel, logits)
    assert np.isnan(values[:, 0]).tolist() == [False, True, False]


def weight(rows):
    values = RANDOM.standard_normal((rows, 32), dtype=np.float32)
    return Weight("w", FORMATS["F32"], 32, values.view(np.uint8))


def test_a_pass_ranks_a_wide_row_whose_copy_outlives_the_pass():
    table, matrix = weight(8), Linear(weight(RANKED_WIDTH + 3))
    cpu = open_on_cpu(lambda ops: ops.linear(matrix, ops.embed(table)), Limits(3, 3))
    places, state = np.arange(3, dtype=np.int32), SequenceState(cpu.pool)
    logits = cpu.run(Step(places, places, places[2:]), [state])
    assert isinstance(logits, RankedLogits)
    kept, (ids, values) = np.array(logits), logits[2].largest()
    assert ids.tolist() == np.argsort(-kept[2], kind="stable")[:LARGEST].tolist()
    assert (values == kept[2, ids]).all()
    cpu.run(Step(places[:1] + 5, places[:1] + 3, places[:1]), [state])
    assert not (np.asarray(logits)[0] == kept[0]).all()
    cpu.close()
