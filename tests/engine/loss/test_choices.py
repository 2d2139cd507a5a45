"""Multiple choice: questions as they are read, and scores beside those of whole texts."""

from collections.abc import Iterator

import numpy as np
import pytest

from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.loss.choices import Question, encode, measure_choices
from lepton_cli.engine.loss.scoring import options_for
from lepton_cli.engine.model import Model, open_model
from quant.errors import UsageError

ROWS = [
    {"prompt": "Once upon a time, there was a", "choices": ["little dog", "it the"], "answer": 0},
    {
        "context": "They played together until",
        "endings": ["they", "the sun went down"],
        "label": "B",
    },
    {"ctx": "The dog ran to the", "choices": ["park", "of of of"], "answer": "park"},
    {"question": "Tom was very", "choices": ["happy", "sad", "and"], "answer": "1"},
]


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with open_model("builtin", options_for(LoadOptions("cpu", 2), 64)) as found:
        yield found


def test_answers_are_numbers_letters_or_texts():
    assert [Question.of(row).answer for row in ROWS] == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"answer": 2}, "the answer is 2, of 2 choices"),
        ({"answer": True}, "the answer is True"),
        ({"answer": "C"}, "the answer is 'C'"),
        ({"choices": ["a"]}, "not a list of texts"),
        ({"choices": ["a", 1]}, "not a list of texts"),
        ({"choices": ["a", "a"]}, "two of the choices are equal"),
        ({"prompt": 5}, "the prompt is 5, not a text"),
    ],
    ids=str,
)
def test_a_wrong_question_is_refused(changed, says):
    with pytest.raises(UsageError, match=says):
        Question.of(ROWS[0] | changed)
    with pytest.raises(UsageError, match="there is no 'answer'"):
        Question.of({key: value for key, value in ROWS[0].items() if key != "answer"})


def test_a_choice_that_begins_another_cannot_be_told_apart(model):
    with pytest.raises(UsageError, match="another begins with it"):
        encode(Question("The dog", ("ran", "ran away"), 0), model.tokenizer)


def test_scores_are_those_of_each_text_read_alone(model):
    """The sum over an ending's tokens, and their mean; what came before is read once."""
    sums, means = [], []
    for row in ROWS:
        question = encode(Question.of(row), model.tokenizer)
        scores = []
        for ids in question.choices:
            rows = np.asarray(model.logits(ids), np.float64)
            rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
            places = range(question.first, len(ids))
            scores.append([rows[place - 1, ids[place]] for place in places])
        sums.append(np.argmax([sum(each) for each in scores]) == question.answer)
        means.append(np.argmax([np.mean(each) for each in scores]) == question.answer)
    encoded = [encode(Question.of(row), model.tokenizer) for row in ROWS]
    running = list(measure_choices(model, encoded))
    right = [round(found.accuracy.value * found.done) for found in running]
    assert right == np.cumsum(sums).tolist() and len(set(sums)) == 2
    right = [round(found.normalized.value * found.done) for found in running]
    assert right == np.cumsum(means).tolist()
    last = running[-1]
    share = np.mean(sums)
    assert last.accuracy.error == pytest.approx(np.sqrt(share * (1 - share) / (len(ROWS) - 1)))


def test_a_window_goes_on_from_what_it_holds_with_the_same_bytes(model):
    one, other = model.tokenizer.encode(" ".join(["The dog ran"] * 5)), []
    for reuse in (False, True):
        parts = model.window.logits_from(len(one) - 2, one, reuse=reuse)
        other.append(np.concatenate([np.array(part) for part in parts]))
    assert (other[0] == other[1]).all()
