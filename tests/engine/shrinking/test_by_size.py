"""Formats chosen by measured sensitivity: what does not matter gets fewest bits."""

import re
from pathlib import Path

import numpy as np
import pytest
from make_gguf import write_model
from passes import ids_of, kernel_folder, resources

from lepton_cli.engine.files.writing import write_outputs
from lepton_cli.engine.library.sizes import bytes_of
from lepton_cli.engine.loading import plan as loading
from lepton_cli.engine.loss.trials import Trials
from lepton_cli.engine.loss.windows import TokenWindow
from lepton_cli.engine.shrinking.by_size import plan_for_size, to_be_chosen
from lepton_cli.engine.shrinking.presets import PRESETS
from lepton_cli.engine.shrinking.quantizing import Request, converted, quantized_outputs
from lepton_cli.engine.shrinking.sensitivity import Sensitivity
from ops.backend import CpuBackend
from ops.encoding.encoder import Encoder
from quant.errors import UsageError
from quant.format import FORMATS
from quant.gguf import GGUF

WINDOWS = [TokenWindow(tuple(ids_of(40)), 8, 0)]
KINDS = [FORMATS[name] for name in ("Q4_0", "IQ4_NL", "Q8_0", "F16")]
REQUEST = Request(PRESETS["Q4_0"])


@pytest.fixture(scope="module")
def encoder():
    with Encoder(kernel_folder(), 2, lambda compiling: None) as opened:
        opened.prepare(KINDS)
        yield opened


def measured(file: GGUF, encoder: Encoder) -> Sensitivity:
    program = loading.build(file, 64)
    sensitivity = Sensitivity(file, program, to_be_chosen(file), None, encoder)
    start = CpuBackend(("f32", "f32"), resources()).open
    assert [each.done for each in sensitivity.measure(Trials(program, WINDOWS, start))][-1] > 5
    return sensitivity


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """Its second layer's feed-forward part is multiplied by zero: those weights do not matter."""
    path = tmp_path_factory.mktemp("sizes") / "a.gguf"
    size = {"L": 2, "D": 64, "F": 128}
    idle = {"blk.1.ffn_down.weight": np.zeros((64, 128), np.float32)}
    return write_model(path, tensors=idle, dimensions=size)


def written(file: GGUF, plan, path: Path, encoder: Encoder) -> Path:
    tensors = converted(file, REQUEST, plan.chooser())
    write_outputs(quantized_outputs(file, path, REQUEST, tensors, encoder))
    return path


def test_what_does_not_matter_gets_fewest_bits_and_the_size_is_kept(model, encoder, tmp_path):
    file = GGUF.open(model)
    sensitivity, losses = measured(file, encoder), list[float]()
    for most in (90_000, 110_000, 160_000):
        plan = plan_for_size(file, REQUEST, sensitivity, KINDS, most)
        path = written(file, plan, tmp_path / f"{most}.gguf", encoder)
        assert path.stat().st_size <= most
        losses.append(plan.loss)
        formats = {name: option.format.name for name, option in plan.options.items()}
        assert formats["blk.1.ffn_up.weight"] in ("Q4_0", "IQ4_NL")
    assert losses == sorted(losses, reverse=True)
    assert formats["blk.0.ffn_up.weight"] in ("Q8_0", "F16")


def test_the_expected_loss_is_near_the_measured_one(model, encoder, tmp_path):
    file = GGUF.open(model)
    plan = plan_for_size(file, REQUEST, measured(file, encoder), KINDS, 90_000)
    program = loading.build(file, 64)
    trials = Trials(program, WINDOWS, CpuBackend(("f32", "f32"), resources()).open)
    path = written(file, plan, tmp_path / "b.gguf", encoder)
    found = trials.divergence(loading.build(GGUF.open(path), 64)).mean.value
    assert plan.loss / 3 < found < plan.loss * 3


def test_a_size_that_cannot_be_reached_is_refused_with_the_least_which_can(
    model, encoder, tmp_path
):
    file = GGUF.open(model)
    sensitivity = measured(file, encoder)
    with pytest.raises(UsageError) as caught:
        plan_for_size(file, REQUEST, sensitivity, KINDS, 60_000)
    assert "bytes at least, not 60000" in caught.value.message
    found = re.match(r"use --target-size (\S+) or more", caught.value.hint or "")
    assert found is not None
    least = bytes_of(found[1])
    plan = plan_for_size(file, REQUEST, sensitivity, KINDS, least)
    assert written(file, plan, tmp_path / "b.gguf", encoder).stat().st_size == least
    with pytest.raises(UsageError):
        plan_for_size(file, REQUEST, sensitivity, KINDS, least - 1)


def test_parts_of_a_fused_matrix_are_rounded_together(tmp_path, encoder):
    file = GGUF.open(write_model(tmp_path / "a.gguf", "phi3", dimensions={"D": 64, "F": 64}))
    options = measured(file, encoder).options(KINDS)
    assert all(each.loss > 0 for each in options["blk.0.attn_qkv.weight"])
