"""--spec-type: what guesses tokens, by llama.cpp's names."""

import pytest

from lepton_cli.ui.open_model import spec_types
from quant.errors import UsageError


@pytest.mark.parametrize(
    ("text", "has_draft", "expected"),
    [
        ("auto", False, "auto"),
        ("auto", True, ("ngram-simple", "draft-simple")),
        ("none", True, ()),
        ("draft-mtp", False, ("draft-mtp",)),
        ("ngram-simple,draft-mtp", False, ("ngram-simple", "draft-mtp")),
        ("draft-simple,ngram-simple", True, ("draft-simple", "ngram-simple")),
    ],
)
def test_names_of_llama_cpp(text, has_draft, expected):
    assert spec_types(text, has_draft=has_draft) == expected


def test_other_ngram_tables_stand_for_ours_with_a_note(capsys):
    assert spec_types("ngram-mod,ngram-cache", has_draft=False) == ("ngram-simple",)
    assert "ngram-simple is used" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "mtp", "none,draft-mtp", "draft-eagle3", "ngram-simple,"])
def test_unknown_names_are_refused_with_the_known_ones(text):
    with pytest.raises(UsageError) as caught:
        spec_types(text, has_draft=False)
    assert "draft-mtp" in str(caught.value.hint)


def test_a_draft_model_and_its_type_belong_together():
    with pytest.raises(UsageError, match="without a draft model"):
        spec_types("draft-simple", has_draft=False)
    with pytest.raises(UsageError, match="with a draft model"):
        spec_types("ngram-simple", has_draft=True)
