"""A run over texts: what an interrupt leaves, and texts that fail while others succeed."""

import base64
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from make_gguf import write_model

import lepton_cli
from lepton_cli.engine.embedding.pooling import UNIT, VectorForm
from lepton_cli.engine.jobs.records import Record
from lepton_cli.engine.jobs.rows import Row
from lepton_cli.engine.model import Model
from lepton_cli.engine.vectors.running import VectorRun
from lepton_cli.engine.vectors.tasks import Recipe, Task, plan_texts
from quant.errors import ModelFileError

TEXTS = [" ".join(["cat"] * count) for count in (1, 2, 3, 4, 5, 6)]
END = 8  # the first position whose tokens have no finite row


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Iterator[Model]:
    positions = np.random.default_rng(1).standard_normal((256, 64), np.float32)
    positions[END:] = np.inf
    path = tmp_path_factory.mktemp("models") / "bert.gguf"
    write_model(path, "bert", tensors={"position_embd.weight": positions})
    with lepton_cli.load(path) as opened:
        yield opened


def run_of(model: Model, rows: list[Row], form: VectorForm = UNIT) -> VectorRun:
    recipe = Recipe(form=form)
    fingerprint = recipe.fingerprint("0" * 64)
    tasks = plan_texts(rows, recipe, fingerprint)
    return VectorRun(model.embeddings, recipe, fingerprint, tasks, "tiny")


def rows_of(*texts: str) -> list[Row]:
    return [Row(number, {"text": text}) for number, text in enumerate(texts, 1)]


def request(number: int, **body: object) -> Row:
    return Row(number, {"custom_id": str(number), "url": "/v1/embeddings", "body": body})


def recorded(
    run: VectorRun, at_once: int, after_each: Callable[[int], None] = lambda count: None
) -> dict[int, Record]:
    """The records by their rows; `after_each` gets how many there are."""
    found = dict[int, Record]()

    def take(task: Task, record: Record) -> None:
        found[task.row] = record
        after_each(len(found))

    for tally in run.results(at_once, take):
        assert 0 <= tally.in_flight <= at_once
    return found


@pytest.mark.parametrize(("at_once", "done"), [(1, [6]), (2, [5, 6]), (4, [3, 4, 5, 6])])
def test_an_interrupt_keeps_all_vectors_of_the_pass_that_runs(model, at_once, done):
    run = run_of(model, rows_of(*TEXTS))
    found = recorded(run, at_once, lambda count: run.last.set())
    assert sorted(found) == done
    tally = run.tally
    assert (tally.answered, tally.failed, tally.in_flight) == (len(done), 0, 0)


def test_a_second_interrupt_drops_only_what_is_not_computed(model):
    run = run_of(model, [request(1, input=TEXTS[:5]), *rows_of("", *TEXTS)[1:]])

    def strike(count: int) -> None:
        run.last.set()
        run.stop.set()

    assert sorted(recorded(run, 2, strike)) == [7]
    assert (run.tally.finished, run.tally.in_flight) == (1, 1)


def test_a_request_that_has_begun_is_finished_and_no_other_row_is_started(model):
    run = run_of(model, [request(1, input=TEXTS[:5]), *rows_of("", *TEXTS)[1:]])
    assert sorted(recorded(run, 2, lambda count: run.last.set())) == [1, 7]
    assert run.tally.in_flight == 0


def test_a_run_that_is_interrupted_at_once_does_nothing(model):
    run = run_of(model, rows_of(*TEXTS, ""))
    run.last.set()
    assert recorded(run, 4) == {} and run.tally.started == 0


def test_a_text_whose_vector_is_not_finite_fails_alone(model):
    long = " ".join(["cat"] * END)
    rows = [*rows_of("cat", long), request(3, input=["cat", long]), request(4, input="cat")]
    run = run_of(model, rows)
    found = recorded(run, 64)
    assert found[2]["error"]["code"] == "failed"
    assert found[2]["error"]["message"] == "the model gave no usable vector"
    assert found[3]["error"]["message"] == "the model gave no usable vector"
    expected = model.embed("cat")[0].tolist()
    assert np.array_equal(np.array(found[1]["embedding"], np.float32), expected)
    data = found[4]["response"]["body"]["data"]
    assert np.array_equal(np.array(data[0]["embedding"], np.float32), expected)
    assert (run.tally.answered, run.tally.failed) == (2, 2)
    with pytest.raises(ModelFileError, match="text 2: the model gave no usable vector"):
        model.embed(["cat", long])


def test_ids_of_a_request_are_taken_as_they_are(model):
    ids = model.tokenizer.encode("the cat")
    inputs = ["the cat", ["the cat"], ids, [ids, ids]]
    found = recorded(run_of(model, [request(n, input=given) for n, given in enumerate(inputs)]), 64)
    vectors = [each["embedding"] for n in found for each in found[n]["response"]["body"]["data"]]
    assert len(vectors) == 5 and all(vector == vectors[0] for vector in vectors)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"input": []}, "input is []: it must be a text, a list of texts, token ids"),
        ({"input": [[]]}, "input is [[]]: it must be"),
        ({"input": ["cat", [5]]}, "input is ['cat', [5]]: it must be"),
        ({"input": [True]}, "input is [True]: it must be"),
        ({"input": [5, 1 << 20]}, "the token id 1048576 is outside the vocabulary"),
        ({"input": "cat", "dimensions": 65}, "dimensions is 65: the model's vectors have 64"),
        ({"input": "cat", "dimensions": 0}, "dimensions is 0: the model's vectors have 64"),
        ({"input": "cat", "dimensions": True}, "dimensions is True: it must be a whole number"),
        ({"input": "cat", "encoding_format": "hex"}, "encoding_format is 'hex'"),
        ({"input": "cat", "top_k": 5}, "the parameter top_k is not supported"),
    ],
)
def test_a_wrong_request_is_an_error_that_names_it(model, body, message):
    [record] = recorded(run_of(model, [request(1, **body)]), 64).values()
    assert record["error"]["message"].startswith(message)


def test_no_prefix_stands_before_ids(model):
    recipe = Recipe(prefix="query: ")
    [task] = plan_texts([request(1, input=[5, 6])], recipe, recipe.fingerprint("0" * 64))
    assert "token ids are given" in str(task.error)


def test_a_request_may_want_fewer_numbers_than_the_others(model):
    rows = [request(1, input="cat"), request(2, input="cat", dimensions=8)]
    found = recorded(run_of(model, rows, VectorForm(dimensions=16)), 64)
    whole = model.embed("cat", normalize=False)[0].astype(np.float64)
    for row, count in ((1, 16), (2, 8)):
        [data] = found[row]["response"]["body"]["data"]
        wanted = whole[:count] / np.linalg.norm(whole[:count])
        np.testing.assert_allclose(data["embedding"], wanted, rtol=1e-6)
        assert len(data["embedding"]) == count


def test_a_request_s_vector_may_be_written_as_base64(model):
    found = recorded(run_of(model, [request(1, input="cat", encoding_format="base64")]), 64)
    [data] = found[1]["response"]["body"]["data"]
    stored = np.frombuffer(base64.b64decode(data["embedding"]), "<f4")
    np.testing.assert_array_equal(stored, model.embed("cat")[0])


def test_keys_of_earlier_results_are_those_of_the_same_rows_now():
    recipe = Recipe()
    fingerprint = recipe.fingerprint("0" * 64)
    tasks = plan_texts([request(1, input="cat"), *rows_of("cat")], recipe, fingerprint)
    assert str(fingerprint) == "000000000000-dfa61a1cc925-b318d07b8351-"
    assert [task.key[:8] for task in tasks] == ["7a97d3b6", "0d7a4461"]
