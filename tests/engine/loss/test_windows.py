"""Windows of a text: llama-perplexity's, counted by hand."""

import pytest

from lepton_cli.engine.loss.windows import Cutting
from quant.errors import UsageError

IDS = list(range(100, 120))


def windows(cutting: Cutting, ids=IDS, bos: int | None = None):
    return [(window.ids, window.scored) for window in cutting.windows(ids, bos)]


def test_the_second_half_of_each_window_but_its_first_token_is_scored():
    """As there: a context of 8 scores 3, each after at least half of the window."""
    found = windows(Cutting(8))
    assert found == [
        (tuple(range(100, 108)), (105, 106, 107)),
        (tuple(range(108, 116)), (113, 114, 115)),
    ]


def test_the_first_token_of_each_window_gives_way_to_the_start_token():
    (first, _), (second, _) = windows(Cutting(8), bos=1)
    assert first == (1, *range(101, 108)) and second == (1, *range(109, 116))


def test_with_a_stride_each_window_scores_its_last_tokens():
    """A window is longer by half of the stride; the last one leaves tokens behind it unread."""
    found = windows(Cutting(8, stride=4))
    assert [ids[0] for ids, _ in found] == [100, 104, 108]
    assert [scored for _, scored in found][:2] == [(106, 107, 108, 109), (110, 111, 112, 113)]
    assert all(len(ids) == 10 for ids, _ in found)


def test_only_the_first_windows_may_be_read():
    assert windows(Cutting(4, most=2)) == windows(Cutting(4))[:2]


@pytest.mark.parametrize("stride", [0, 3])
def test_a_short_text_names_what_a_window_needs_and_a_context_that_fits(stride):
    with pytest.raises(UsageError, match="the text has 20 tokens, a window needs") as error:
        Cutting(512, stride).windows(IDS, None)
    context = int(error.value.hint.rpartition("-c ")[2])
    assert len(Cutting(context, stride).windows(IDS, None)) == 1
    with pytest.raises(UsageError):
        Cutting(context + 1, stride).windows(IDS, None)


def test_no_context_is_advised_for_a_text_of_few_tokens():
    with pytest.raises(UsageError) as error:
        Cutting(8).windows([1, 2], None)
    assert error.value.hint == "give a longer text"


@pytest.mark.parametrize(
    "wrong", [{"context": 3}, {"context": 8, "stride": 9}, {"stride": -1}, {"most": 0}], ids=str
)
def test_windows_in_which_nothing_is_scored_are_refused(wrong):
    with pytest.raises(UsageError):
        Cutting(**wrong)
