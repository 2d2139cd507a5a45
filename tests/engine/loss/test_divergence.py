"""Divergence of one model from another beside sums by hand, and beside llama.cpp's."""

import math
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from make_gguf import write_model
from stories import story

from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.loss.comparison import compare
from lepton_cli.engine.loss.divergence import Divergence, token_scores
from lepton_cli.engine.loss.perplexity import measure_perplexity
from lepton_cli.engine.loss.scoring import options_for
from lepton_cli.engine.loss.windows import Cutting, windows_of
from lepton_cli.engine.model import Model, open_model
from quant.errors import ModelFileError, UsageError

ROWS, VOCABULARY = 40, 300


def drawn(seed: int):
    """Logits of a reference and of another model, and the right tokens."""
    draw = np.random.default_rng(seed)
    reference = (4 * draw.standard_normal((ROWS, VOCABULARY))).astype(np.float32)
    other = reference + draw.standard_normal(reference.shape).astype(np.float32)
    return reference, other, draw.integers(0, VOCABULARY, ROWS)


def log_shares(rows):
    rows = rows.astype(np.float64)
    return rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))


def test_each_tokens_scores_are_the_sums_by_hand():
    reference, other, tokens = drawn(1)
    scores, p, q = token_scores(reference, other, tokens), log_shares(reference), log_shares(other)
    assert scores.divergences == pytest.approx((np.exp(p) * (p - q)).sum(axis=1), rel=1e-4)
    assert (scores.agreements == (p.argmax(axis=1) == q.argmax(axis=1))).all()
    right = np.arange(ROWS), tokens
    assert scores.reference_losses == pytest.approx(-p[right], rel=1e-6)
    assert scores.losses == pytest.approx(-q[right], rel=1e-6)
    assert scores.changes == pytest.approx(np.exp(q[right]) - np.exp(p[right]), abs=1e-7)


def test_log_probabilities_are_compared_like_logits():
    reference, other, tokens = drawn(2)
    as_shares = [log_shares(rows).astype(np.float32) for rows in (reference, other)]
    one, two = token_scores(reference, other, tokens), token_scores(*as_shares, tokens)
    assert one.divergences == pytest.approx(two.divergences, rel=1e-4)


def test_equal_logits_have_no_divergence():
    reference, _, tokens = drawn(3)
    scores = token_scores(reference, reference.copy(), tokens)
    assert not scores.divergences.any() and scores.agreements.all()


def test_the_figures_are_those_of_all_tokens_together():
    """With the errors as llama-perplexity computes them."""
    figures, parts = Divergence(), [token_scores(*drawn(seed)) for seed in range(3)]
    for part in parts:
        figures.add(part)
    kl, top, a, b, change = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("divergences", "agreements", "reference_losses", "losses", "changes")
    )
    count = len(kl)
    assert figures.scored == count == 3 * ROWS
    assert figures.mean.value == pytest.approx(kl.mean())
    assert figures.mean.error == pytest.approx(kl.std() / math.sqrt(count - 1))
    share = top.mean()
    assert figures.same_top.value == share
    assert figures.same_top.error == pytest.approx(math.sqrt(share * (1 - share) / (count - 1)))
    assert figures.log_ratio.value == pytest.approx(b.mean() - a.mean())
    assert figures.log_ratio.error == pytest.approx((b - a).std() / math.sqrt(count - 1))
    assert figures.correlation == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert figures.change.value == pytest.approx(change.mean())
    root = math.sqrt((change**2).mean())
    assert figures.rms_change.value == pytest.approx(root)
    error = (change**2).std() / math.sqrt(count - 1) / (2 * root)
    assert figures.rms_change.error == pytest.approx(error)
    quantiles = figures.divergence_quantiles()
    assert quantiles[50.0] == pytest.approx(np.median(kl), rel=1e-6)
    assert quantiles[100.0] == pytest.approx(kl.max(), rel=1e-6)
    assert figures.change_quantiles()[0.0] == pytest.approx(change.min(), rel=1e-6)


def test_one_token_has_figures_without_errors():
    figures = Divergence()
    figures.add(token_scores(*(part[:1] for part in drawn(4))))
    assert figures.log_ratio.error == 0 and figures.correlation == 0


def test_logits_of_no_use_are_an_error():
    reference, other, tokens = drawn(5)
    other[3, 7] = np.nan
    with pytest.raises(ModelFileError, match="no usable probabilities"):
        token_scores(reference, other, tokens)


CUTTING = Cutting(64)


def opened(path, cutting: Cutting = CUTTING, beside: Model | None = None, **options) -> Model:
    wanted = options_for(LoadOptions("cpu", 2, **options), cutting.size)
    return open_model(path, wanted, beside=beside)


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with opened("builtin") as found:
        yield found


def test_a_model_does_not_diverge_from_itself_in_passes_of_other_sizes(model):
    windows = windows_of(story(40), model.tokenizer, CUTTING)
    with opened("builtin", beside=model, ubatch=20) as other:
        *_, last = compare(model, other, windows)
    figures = last.divergence
    assert figures.mean.value == 0 and figures.same_top.value == 1
    assert (last.done, last.read) == (len(windows), 64 * len(windows))
    *_, alone = measure_perplexity(model, windows)
    assert figures.loss == figures.reference_loss
    assert figures.loss.value == pytest.approx(alone.loss.value, rel=1e-9)


def test_an_interrupt_leaves_whole_windows(model):
    windows, stop = windows_of(story(40), model.tokenizer, CUTTING), threading.Event()
    with opened("builtin", beside=model) as other:
        found = compare(model, other, windows, stop)
        first = next(found)
        stop.set()
        assert next(found, None) is None
    assert first.done == 1 and first.divergence.scored == 31


def test_other_vocabularies_are_refused_and_the_difference_named(model, tmp_path):
    windows = windows_of(story(40), model.tokenizer, CUTTING)
    with (
        opened(write_model(tmp_path / "other.gguf"), Cutting(8)) as other,
        pytest.raises(UsageError, match=r"different vocabularies: \d+ and \d+ tokens"),
    ):
        next(compare(model, other, windows))


def test_the_figures_are_llamacpps(shared_data):
    """Its logits by llama-cpp-python 0.3.36: 24 windows of 128 tokens of the story."""
    cutting, folder = Cutting(128, most=24), shared_data("models")
    one, two = (folder / f"bitllama-3M-{kind}.gguf" for kind in ("Q8_0", "Q3_K_M"))
    with opened(one, cutting) as reference, opened(two, cutting, reference) as other:
        windows = windows_of(story(), reference.tokenizer, cutting)
        *_, last = compare(reference, other, windows)
    figures = last.divergence
    assert figures.mean.value == pytest.approx(0.045665, rel=1e-2)
    assert figures.divergence_quantiles()[50.0] == pytest.approx(0.030002, rel=3e-2)
    assert figures.same_top.value == pytest.approx(0.88823, abs=5e-3)
    assert figures.rms_change.value == pytest.approx(0.071200, rel=1e-2)
    assert figures.log_ratio.exponential().value == pytest.approx(5.547953 / 5.516879, rel=2e-3)
