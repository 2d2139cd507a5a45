"""What may guess for a model: which files are found, and models without some of their layers."""

import numpy as np
import pytest
from head_model import with_head
from make_gguf import write_model
from passes import ids_of, resources

from lepton_cli.engine.drafting import candidates
from lepton_cli.engine.drafting.candidates import (
    HEAD,
    LOOKUP,
    Candidate,
    Skipped,
    found_candidates,
    model_candidate,
    pruned_candidates,
    use,
)
from lepton_cli.engine.files.writing import write_outputs
from lepton_cli.engine.loading import plan as loading
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.model import open_model
from lepton_cli.engine.pruning.choosing import Wanted
from lepton_cli.engine.pruning.prune import Request, prune
from lepton_cli.engine.pruning.writing import output_of
from ops.backend import CpuBackend
from quant.errors import LeptonError, OutOfMemoryError, UsageError
from quant.gguf import GGUF

OPTIONS = LoadOptions("cpu", 1, ctx=64, spec_types="auto")
DRAFT = LoadOptions("cpu", 1, ctx=64, spec_types=())


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("m") / "big.gguf", dimensions={"L": 4})


def open_here():
    return CpuBackend(("f16", "f16"), resources()).open


def test_smaller_models_of_the_same_vocabulary_are_found(big, tmp_path, monkeypatch):
    folder = tmp_path / "cache" / "llama.cpp"
    folder.mkdir(parents=True)
    monkeypatch.setenv("LLAMA_CACHE", str(folder))
    write_model(folder / "two.gguf", dimensions={"L": 2})
    write_model(folder / "other.gguf", "gpt2")  # another vocabulary
    write_model(folder / "larger.gguf", dimensions={"L": 6})
    (folder / "broken.gguf").write_bytes(b"GGUF\x03")
    model = tmp_path / "big.gguf"
    model.write_bytes(big.read_bytes())
    write_model(tmp_path / "one.gguf", dimensions={"L": 1})  # beside the model
    names = [each.name for each in found_candidates(GGUF.open(model))]
    assert names == ["one.gguf", "two.gguf"], "the smallest first"


def test_a_named_model_of_another_vocabulary_is_refused(big, tmp_path):
    other = write_model(tmp_path / "other.gguf", "gpt2")
    with pytest.raises(UsageError, match="different vocabulary"):
        model_candidate("other", other, GGUF.open(big))
    with pytest.raises(UsageError, match="the model itself"):
        model_candidate("big", big, GGUF.open(big))


def test_a_model_is_opened_without_layers_as_its_pruned_file_is(big, tmp_path):
    without = frozenset({1, 3})
    pruned = tmp_path / "pruned.gguf"
    result = prune(GGUF.open(big), Request(Wanted(without)), ()).result
    write_outputs([output_of(result, pruned)])
    ids = ids_of(20)
    options = LoadOptions("cpu", 1, ctx=64, spec_types=(), without=without)
    with open_model(big, options) as some, open_model(pruned, DRAFT) as other:
        assert np.array_equal(some.logits(ids), other.logits(ids))
        assert some.plan.cache == other.plan.cache
    with open_model(big, DRAFT) as whole:
        assert not np.array_equal(whole.logits(ids), some_logits(big, options, ids))


def some_logits(path, options, ids):
    with open_model(path, options) as model:
        return model.logits(ids)


def test_a_quarter_and_a_half_of_the_layers_are_left_out(big):
    file = GGUF.open(big)
    found = list(pruned_candidates(file, [ids_of(40)], open_here()))
    assert [len(each.without) for each in found if isinstance(each, Candidate)] == [1, 2]
    assert found[0].without < found[1].without, "the least influential first"


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [("gemma2", "of another kind"), ("gemma4", "reads what layers before it keep")],
)
def test_layers_that_cannot_be_left_out_are_named(tmp_path, monkeypatch, architecture, reason):
    monkeypatch.setattr(candidates, "block_influence", lambda *given: np.arange(2.0))
    file = GGUF.open(write_model(tmp_path / "m.gguf", architecture))
    found = [*pruned_candidates(file, [ids_of(40)], open_here())]
    assert all(isinstance(each, Skipped) and reason in each.reason for each in found) and found


def test_the_split_of_a_program_without_a_layer_is_before_the_next_one(big):
    program = loading.build(GGUF.open(big), 64).without({1})
    before, behind = program.split(1)
    assert {op.layer for op in before.operations} == {None, 0}
    assert min(op.layer for op in behind.operations if op.layer is not None) == 2


def test_only_the_chosen_source_guesses(tmp_path):
    path = with_head(tmp_path / "head.gguf")
    with open_model(path, OPTIONS) as model:
        use(model, LOOKUP, DRAFT)
        assert model.guessers.follower is None, "the head is not asked, and does no work"
        use(model, HEAD, DRAFT)
        assert model.guessers.follower is model.guessers.head is not None
        use(model, Candidate("itself", "draft-simple", path), DRAFT)
        assert model.draft is not None and model.guessers.follower is None
        use(model, LOOKUP, DRAFT)
        assert model.draft is None


def test_a_model_without_a_head_says_so(big):
    with open_model(big, OPTIONS) as model, pytest.raises(LeptonError, match="no next-token head"):
        use(model, HEAD, DRAFT)


def test_a_draft_that_does_not_fit_is_refused_with_the_sizes(big, monkeypatch):
    with open_model(big, OPTIONS) as model:
        left = model.plan.total + 1000
        object.__setattr__(model.plan, "free", type(model.plan.free)(left, "of a test"))
        with pytest.raises(OutOfMemoryError, match=r"needs .* MB"):
            use(model, Candidate("itself", "draft-simple", big), DRAFT)
        use(model, LOOKUP, DRAFT)  # the others can still be tried
