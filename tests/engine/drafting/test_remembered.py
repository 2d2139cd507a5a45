"""The draft of a model that is remembered: bound to what the files hold, not to their paths."""

import pytest
from make_gguf import write_model

from lepton_cli.engine.drafting.remembered import (
    fault_of,
    folder,
    forget,
    pair_of,
    remember,
    remembered,
    remembered_pairs,
)
from quant.errors import UsageError
from quant.gguf import GGUF


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def model(tmp_path):
    return GGUF.open(write_model(tmp_path / "big.gguf", dimensions={"L": 3}))


@pytest.fixture
def draft(tmp_path):
    return write_model(tmp_path / "small.gguf", dimensions={"L": 1})


def test_nothing_is_remembered_at_first(model):
    assert remembered(model) is None and not list(remembered_pairs())


def test_a_pair_comes_back_for_the_moved_model(model, draft, tmp_path):
    pair = pair_of(model, "draft-simple", draft, 1.5, 0.1)
    remember(pair)
    moved = tmp_path / "elsewhere.gguf"
    model.path.rename(moved)
    assert remembered(GGUF.open(moved)) == pair and list(remembered_pairs()) == [pair]
    assert fault_of(pair) is None


def test_another_model_of_the_same_path_has_none(model):
    remember(pair_of(model, "ngram-simple", None, 1.2, 0.0))
    model.path.unlink()  # it is mapped
    assert remembered(GGUF.open(write_model(model.path, seed=5, dimensions={"L": 3}))) is None


def test_a_newer_pair_takes_the_place_of_the_old_one(model, draft):
    remember(pair_of(model, "draft-simple", draft, 1.5, 0.1))
    remember(pair_of(model, "ngram-simple", None, 2.0, 0.1))
    found = remembered(model)
    assert found is not None and found.kind == "ngram-simple" and found.draft is None
    assert len(list(folder().iterdir())) == 1
    forget(found)
    assert remembered(model) is None


def test_a_link_is_remembered_as_it_is(model, draft, tmp_path):
    """As in Hugging Face's cache, where links have the names of a split model's parts."""
    link = tmp_path / "link.gguf"
    link.symlink_to(draft)
    assert pair_of(model, "draft-simple", link, 1.5, 0.1).draft == str(link)


def test_a_draft_that_is_gone_or_changed_is_told(model, draft):
    pair = pair_of(model, "draft-simple", draft, 1.5, 0.1)
    draft.unlink()
    assert "is gone" in str(fault_of(pair))
    write_model(draft, seed=8, dimensions={"L": 1})
    assert "has changed" in str(fault_of(pair))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"version": 2}', "\x00", "3", '{"version": 1, "identity": 3}', "[" * 9999],
)
def test_a_damaged_record_is_an_error_with_its_path(model, text):
    remember(pair_of(model, "ngram-simple", None, 2.0, 0.1))
    [path] = folder().iterdir()
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        remembered(model)
    assert str(path) in caught.value.message and caught.value.hint == f"remove it: rm {path}"
