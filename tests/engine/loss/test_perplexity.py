"""Perplexity beside the same sums over all logits, and beside llama.cpp's."""

import math
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from make_gguf import write_model
from stories import story

from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.loss import scoring
from lepton_cli.engine.loss.perplexity import Perplexity, measure_perplexity
from lepton_cli.engine.loss.scoring import options_for
from lepton_cli.engine.loss.windows import Cutting, TokenWindows, windows_of
from lepton_cli.engine.model import Model, open_model
from quant.errors import ContextOverflowError, ModelFileError, UsageError

CUTTING = Cutting(96)
LLAMACPP = {  # by llama-cpp-python 0.3.36: 24 windows of 128 tokens of the story
    "stories260K-F32": (5.14130, 0.27639),
    "bitllama-3M-Q4_K_M": (5.56174, 0.30239),
    "bitllama-3M-Q6_K": (5.51310, 0.29828),
    "bitllama-3M-TQ2_0": (5.51683, 0.29862),
    "tinytalk-3m-gpt2-Q4_0": (17.36773, 1.46629),
    "tiny-rwkv7-834K-F32": (35.78463, 1.11354),
}


def opened(path: str | Path, cutting: Cutting = CUTTING, **options) -> Model:
    return open_model(path, options_for(LoadOptions("cpu", 2, **options), cutting.size))


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with opened("builtin") as found:
        yield found


def windows_in(model: Model, cutting: Cutting = CUTTING) -> TokenWindows:
    return windows_of(story(), model.tokenizer, cutting)[:3]


def measured(model: Model, windows: TokenWindows) -> Perplexity:
    *_, last = measure_perplexity(model, windows)
    return last


def test_the_figures_are_those_of_all_logits(model):
    windows, losses = windows_in(model), []
    for window in windows:
        rows = np.asarray(model.logits(window.ids), np.float64)
        chances = np.exp(rows - rows.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        for place in range(window.first, len(window.ids)):
            losses.append(-math.log(chances[place - 1, window.ids[place]]))
    found = measured(model, windows)
    assert found.scored == len(losses) == 3 * 47
    assert found.loss.value == pytest.approx(np.mean(losses), rel=1e-6)
    error = np.std(losses) / math.sqrt(len(losses) - 1)
    assert found.loss.error == pytest.approx(error, rel=1e-6)
    assert found.perplexity.value == pytest.approx(math.exp(np.mean(losses)), rel=1e-6)
    assert found.perplexity.error == pytest.approx(found.perplexity.value * error, rel=1e-6)
    by_place = np.reshape(losses, (3, 47)).mean(axis=0)
    assert found.of_places == pytest.approx(by_place.tolist(), rel=1e-5)


def test_the_running_figure_is_that_of_the_windows_so_far(model):
    windows = windows_in(model)
    running = list(measure_perplexity(model, windows))
    assert [found.done for found in running] == [1, 2, 3]
    assert running[1].loss == measured(model, windows[:2]).loss


def test_few_rows_of_logits_at_once_give_the_same_bytes(model, monkeypatch):
    monkeypatch.setattr(scoring, "LOGIT_BYTES", 0)
    with opened("builtin", ubatch=20) as other:
        assert measured(other, windows_in(other)).loss == measured(model, windows_in(model)).loss


def test_an_interrupt_ends_after_whole_windows(model):
    stop, found = threading.Event(), []
    for figures in measure_perplexity(model, windows_in(model), stop):
        found.append(figures.done)
        stop.set()
    assert found == [1]


@pytest.mark.parametrize(("kind", "says"), [("t5", "has an encoder"), ("llada", "diffusion")])
def test_models_that_do_not_predict_the_next_token_are_refused(kind, says, tmp_path):
    cutting = Cutting(8)
    with opened(write_model(tmp_path / "model.gguf", kind), cutting) as other:
        windows = cutting.windows(range(3, 19), None)
        with pytest.raises(UsageError, match=says):
            measured(other, windows)


def test_windows_that_the_open_model_cannot_read_are_refused(model):
    with pytest.raises(ContextOverflowError, match="a window of 97 tokens"):
        measured(model, windows_in(model, Cutting(97)))
    with pytest.raises(UsageError, match="outside the vocabulary"):
        measured(model, Cutting(8).windows([model.vocabulary_size] * 8, None))


def test_logits_of_no_use_are_an_error(model, monkeypatch):
    broken = np.full((1, model.vocabulary_size), np.nan, np.float32)
    monkeypatch.setattr(model.window, "logits_from", lambda *_, reuse: [broken])
    with pytest.raises(ModelFileError, match="no usable probabilities"):
        measured(model, windows_in(model))


@pytest.mark.parametrize("name", LLAMACPP)
def test_the_figures_are_llamacpps(name, shared_data):
    cutting = Cutting(128, most=24)
    with opened(shared_data("models") / f"{name}.gguf", cutting) as other:
        windows = windows_of(story(), other.tokenizer, cutting)
        found = measured(other, windows).perplexity
    value, error = LLAMACPP[name]
    assert found.value == pytest.approx(value, rel=1e-3)
    assert found.error == pytest.approx(error, rel=1e-2)
