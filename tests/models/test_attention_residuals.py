"""Attention residuals against their definition."""

import numpy as np

from lepton_cli.models.parts.attention_residuals import AttentionResiduals
from ops.interface import Linear, Step, Weight
from ops.recorder import record
from ops.reference.runner import ReferenceRunner
from ops.state.sequence import SequenceState
from quant.format import FORMATS

RANDOM = np.random.default_rng(11)


def weight(rows: int) -> tuple[Weight, np.ndarray]:
    values = RANDOM.standard_normal((rows, 16), np.float32)
    return Weight("w", FORMATS["F32"], 16, values.view(np.uint8)), values


def test_rows_are_weighted_by_the_softmax_of_their_scores():
    tables, values = zip(*(weight(5) for _ in range(4)), strict=True)
    w, factors = weight(1)

    def forward(ops):
        rows = [ops.embed(table) for table in tables]
        return ops.select_outputs(AttentionResiduals(16, 1e-5)(ops, rows, Linear(w)))

    runner = ReferenceRunner(record(forward), ("f32", "f32"))
    tokens = np.array([3, 1, 4], np.int32)
    step = Step(tokens, np.arange(3, dtype=np.int32), np.arange(3, dtype=np.int32))
    got = runner.run(step, [SequenceState(runner.pool)])
    rows = np.stack([each[tokens] for each in values]).astype(np.float64)  # (4, T, D)
    normed = rows / np.sqrt((rows * rows).mean(-1, keepdims=True) + 1e-5)
    shares = np.exp((normed * factors[0]).sum(-1))
    want = (rows * (shares / shares.sum(0))[..., None]).sum(0)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
