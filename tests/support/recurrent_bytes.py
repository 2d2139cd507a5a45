"""A recurrent forward pass gives the same bytes however its tokens enter."""

import numpy as np
from passes import open_on_cpu

from ops.interface import Step
from ops.memory_plan import Limits
from ops.state.sequence import SequenceState


def check_same_bytes(forward, vocabulary: int) -> None:
    """For any chunks, any number of threads, and behind another sequence of the same step."""
    tokens = np.random.default_rng(6).integers(0, vocabulary, 20).astype(np.int32)

    def run(threads: int, *chunks: int, beside: bool = False):
        runner = open_on_cpu(forward, Limits(64, 64), threads=threads)
        states = [SequenceState(runner.pool) for _ in range(1 + beside)]
        rows, start = [], 0
        for count in chunks:
            place = np.arange(start, start + count, dtype=np.int32)
            entered, starts = tokens[place], (0,)
            if beside:  # behind another sequence, which enters the tokens backwards
                entered, starts = np.concatenate([entered[::-1], entered]), (0, count)
            window, wanted = np.tile(place, len(starts)), np.arange(len(entered))
            step = Step(entered, window, wanted.astype(np.int32), starts)
            rows.append(runner.run(step, states)[-count:].copy())
            start += count
        runner.close()
        return np.concatenate(rows)

    whole = run(1, 20)
    for other in (run(3, 7, 1, 12), run(2, *[1] * 20), run(4, 3, 17, beside=True)):
        np.testing.assert_array_equal(other, whole)
