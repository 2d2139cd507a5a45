"""Variants of a model that exist only in memory, compared with it."""

from dataclasses import replace

import numpy as np
import pytest
from make_gguf import write_model
from passes import ids_of, logits_of, resources

from lepton_cli.engine.loading import plan as loading
from lepton_cli.engine.loss import trials as module
from lepton_cli.engine.loss.divergence import Divergence, token_scores
from lepton_cli.engine.loss.trials import Trials
from lepton_cli.engine.loss.windows import TokenWindow
from ops.backend import CpuBackend
from quant.gguf import GGUF
from quant.weights import Weight

IDS = tuple(ids_of(80))
WINDOWS = [TokenWindow(IDS[:70], 36, 0), TokenWindow(IDS[:20], 1, 0)]


@pytest.fixture
def opened(tmp_path):
    path = write_model(tmp_path / "a.gguf", dimensions={"L": 3, "T": 128})
    start = CpuBackend(("f32", "f32"), resources()).open
    return path, loading.build(GGUF.open(path), 128), start


def doubled(weight: Weight) -> Weight:
    if weight.name != "blk.1.ffn_down.weight":
        return weight
    values = 2 * weight.data.view(np.float32)
    return replace(weight, data=values.view(np.uint8))


def test_a_model_does_not_diverge_from_itself(opened):
    _, program, start = opened
    trials = Trials(program, WINDOWS, start)
    found = trials.divergence(program)
    assert (trials.scored, found.scored) == (34 + 19, 34 + 19)
    assert (found.mean.value, found.same_top.value) == (0, 1)


def test_a_variant_diverges_as_a_file_with_its_weights_does(opened):
    path, program, start = opened
    found = Trials(program, WINDOWS, start).divergence(program.weighing(doubled))
    file = GGUF.open(path)
    values = 2 * file.tensors["blk.1.ffn_down.weight"].data.view(np.float32)
    other = write_model(path.with_name("b.gguf"), dimensions={"L": 3, "T": 128}, tensors={})
    whole = bytearray(other.read_bytes())
    old = file.tensors["blk.1.ffn_down.weight"].data.tobytes()
    at = whole.index(old)
    whole[at : at + len(old)] = values.tobytes()
    other.write_bytes(whole)
    wanted = Divergence()
    for window in WINDOWS:
        ids = np.array(window.ids[:-1], np.int32)
        rows = [logits_of(each, ids, "cpu")[window.first - 1 :] for each in (path, other)]
        wanted.add(token_scores(*rows, np.array(window.scored, np.int64)))
    assert found.mean.value == pytest.approx(wanted.mean.value, rel=1e-12)
    assert found.mean.value > 0


def test_as_many_windows_are_compared_as_memory_is_kept_for(opened, monkeypatch):
    _, program, start = opened
    monkeypatch.setattr(module, "KEPT", 4 * program.vocabulary * 40)
    assert Trials(program, WINDOWS, start).scored == 34
    monkeypatch.setattr(module, "KEPT", 1)
    assert Trials(program, WINDOWS, start).scored == 34
