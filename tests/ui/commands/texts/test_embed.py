"""`lepton embed`, `rerank` and `similar`: input, output, continuing, what is refused."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from make_adapter import write_lora
from make_gguf import write_model

import lepton_cli
from lepton_cli.__main__ import run

TEXTS = ["hello world", "the cat", "a river and the cat", "search the world", "query"]
LINES = "".join(f"{text}\n" for text in TEXTS)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for preset, name in (("bert", "bert"), ("bert-rank", "judge"), ("llama", "llama")):
        write_model(folder / f"{name}.gguf", preset, seed=4)
    write_model(folder / "other.gguf", "bert", seed=9)
    named = {"general.name": "Nomic Embed Text v1.5"}
    write_model(folder / "nomic.gguf", "bert", seed=4, metadata=named)
    for name in ("bert", "judge"):  # so that no test sees a note about compiling
        lepton_cli.load(folder / f"{name}.gguf").close()
    return folder


@pytest.fixture
def lepton(models, monkeypatch, tmp_path, capfdbinary):
    """Runs a command in a folder of its own: exit code, stdout, stderr. `given` is stdin."""
    monkeypatch.chdir(tmp_path)

    def start(command: str, model: str, *args: str, given: str | None = None):
        source = os.devnull
        if given is not None:
            Path("stdin").write_text(given, encoding="utf-8")
            source = "stdin"
        with open(source, encoding="utf-8") as file:
            monkeypatch.setattr("sys.stdin", file)
            code = run([command, str(models / f"{model}.gguf"), *args])
        out, err = capfdbinary.readouterr()
        return code, out.decode(), err.decode()

    return start


def vectors(out: str) -> np.ndarray:
    return np.array([json.loads(line)["embedding"] for line in out.splitlines()], np.float32)


@pytest.fixture(scope="module")
def expected(models) -> np.ndarray:
    with lepton_cli.load(models / "bert.gguf") as model:
        return model.embed(TEXTS)


# --- input and output


def test_words_are_texts_and_their_vectors_are_those_of_the_api(lepton, expected):
    code, out, err = lepton("embed", "bert", *TEXTS)
    assert (code, err) == (0, "")
    np.testing.assert_array_equal(vectors(out), expected)
    first = json.loads(out.splitlines()[0])
    assert list(first) == ["row", "id", "embedding", "counts", "key", "fingerprint"]
    assert (first["row"], first["counts"]) == (1, {"prompt": 4, "dropped": 0})


def test_texts_come_from_stdin_or_files_as_lines_json_or_csv(lepton, expected):
    Path("a.txt").write_text(LINES)
    rows = [{"id": f"n{n}", "title": "x", "text": text} for n, text in enumerate(TEXTS)]
    Path("a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("a.csv").write_text("name,words\n" + "".join(f"n,{text}\n" for text in TEXTS))
    for args, given in (
        ((), LINES),
        (("-f", "-"), LINES),
        (("-f", "a.txt"), None),
        (("-f", "a.jsonl"), None),
        (("-f", "a.csv", "-p", "{words}"), None),
    ):
        code, out, err = lepton("embed", "bert", *args, given=given)
        assert code == 0, err
        assert "5 rows: 5 embedded, 0 failed; 23 tokens in " in err
        np.testing.assert_array_equal(vectors(out), expected)
    _, out, _ = lepton("embed", "bert", "-f", "a.jsonl", "-f", "a.txt")
    read = [json.loads(line) for line in out.splitlines()]
    assert [each["row"] for each in read] == list(range(1, 11))
    assert [each["id"] for each in read] == [*(f"n{n}" for n in range(5)), *[None] * 5]


def test_numbers_and_arrays_hold_the_same_float32(lepton, expected):
    _, out, _ = lepton("embed", "bert", "--format", "numbers", *TEXTS)
    printed = np.array([line.split() for line in out.splitlines()], np.float32)
    np.testing.assert_array_equal(printed, expected)
    assert lepton("embed", "bert", "-o", "a.npy", given=LINES)[0] == 0
    stored = np.load("a.npy")
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, expected)
    assert lepton("embed", "bert", "-o", "a.txt", given=LINES)[0] == 0
    assert Path("a.txt").read_text() == out


def test_the_same_bytes_come_of_any_number_of_jobs_and_any_pass(lepton):
    _, wanted, _ = lepton("embed", "bert", *TEXTS)
    for flags in (("--jobs", "1"), ("--jobs", "3"), ("-ub", "9"), ("-t", "1"), ("-t", "3")):
        assert lepton("embed", "bert", *flags, *TEXTS)[1] == wanted


def test_without_pooling_a_text_has_a_vector_for_each_token(lepton):
    _, out, _ = lepton("embed", "bert", "--pooling", "none", "the cat")
    [record] = map(json.loads, out.splitlines())
    assert np.array(record["embedding"]).shape == (record["counts"]["prompt"], 64)


def test_vectors_have_the_length_1_unless_asked_for_as_they_are(lepton):
    for flags, unit in (((), True), (("--no-normalize",), False)):
        [vector] = vectors(lepton("embed", "bert", *flags, "the cat")[1])
        assert (abs(np.linalg.norm(vector) - 1) < 1e-5) == unit


def test_vectors_may_be_cut_and_an_index_of_them_is_searched(lepton, models):
    Path("lines.txt").write_text(LINES)
    with lepton_cli.load(models / "bert.gguf") as model:
        expected = model.embed(TEXTS, dimensions=8)
    flags = ("-f", "lines.txt", "--dimensions", "8")
    np.testing.assert_array_equal(vectors(lepton("embed", "bert", *flags)[1]), expected)
    assert lepton("embed", "bert", *flags, "-o", "a.npy")[0] == 0
    np.testing.assert_array_equal(np.load("a.npy"), expected)
    code, _, err = lepton("embed", "bert", "-f", "lines.txt", "-o", "a.npy")
    assert code == 2 and "holds 5 results of other parameters" in err
    code, out, err = lepton("similar", "bert", "the cat", "-f", "lines.txt", "--index", "a.npy")
    assert (code, err, out.splitlines()[0]) == (0, "", "1\tthe cat")
    code, _, err = lepton("embed", "bert", "--dimensions", "65", "cat")
    assert code == 2 and "dimensions is 65: the model's vectors have 64 numbers" in err


# --- prefixes


def test_a_prefix_stands_before_each_text(lepton):
    _, wanted, _ = lepton("embed", "bert", "query: cat")
    _, given, _ = lepton("embed", "bert", "--prefix", "query: ", "cat")
    np.testing.assert_array_equal(vectors(given), vectors(wanted))
    _, named, err = lepton("embed", "bert", "--role", "query", "--prefixes", "e5", "cat")
    np.testing.assert_array_equal(vectors(named), vectors(wanted))
    assert err == 'lepton: note: before each text: "query: "\n'


def test_prefixes_are_known_by_the_models_name(lepton):
    _, wanted, _ = lepton("embed", "nomic", "search_document: cat")
    _, named, _ = lepton("embed", "nomic", "--role", "document", "cat")
    np.testing.assert_array_equal(vectors(named), vectors(wanted))
    code, _, err = lepton("embed", "bert", "--role", "query", "cat")
    assert code == 2 and "no prefixes are known for" in err and "--prefixes e5, " in err


def test_a_prefix_that_an_adapter_wants_is_told(lepton, models):
    prefix = {"adapter.lora.prompt_prefix": "Represent the query: "}
    write_lora(Path("query.gguf"), models / "bert.gguf", metadata=prefix)
    told = "lepton: note: query.gguf wants a text before each: --prefix 'Represent the query: '\n"
    for flags, err in (((), told), (("--prefix", "Represent the query: "), "")):
        assert lepton("embed", "bert", "--lora", "query.gguf", *flags, "cat")[::2] == (0, err)


# --- continuing, and rows that fail


def test_a_run_that_was_stopped_is_continued(lepton):
    lepton("embed", "bert", "-o", "whole.jsonl", given=LINES)
    wanted = Path("whole.jsonl").read_bytes()
    Path("part.jsonl").write_bytes(b"".join(wanted.splitlines(True)[1:3]) + b'{"row": 4, "em')
    code, _, err = lepton("embed", "bert", "-o", "part.jsonl", given=LINES)
    assert code == 0 and "2 were there before" in err
    assert Path("part.jsonl").read_bytes() == wanted


def test_an_array_grows_with_its_input(lepton, expected):
    lepton("embed", "bert", "-o", "a.npy", given="".join(LINES.splitlines(True)[:2]))
    assert len(np.load("a.npy")) == 2
    code, _, err = lepton("embed", "bert", "-o", "a.npy", given=LINES)
    assert code == 0 and "2 were there before" in err
    np.testing.assert_array_equal(np.load("a.npy"), expected)


def test_a_file_of_another_model_is_not_touched(lepton):
    lepton("embed", "bert", "-o", "a.npy", given=LINES)
    before = Path("a.npy").read_bytes()
    code, _, err = lepton("embed", "other", "-o", "a.npy", given=LINES)
    assert code == 2 and "holds 5 results of another model" in err
    assert Path("a.npy").read_bytes() == before
    Path("foreign.npy").write_bytes(b"precious")
    code, _, err = lepton("embed", "bert", "-o", "foreign.npy", given=LINES)
    assert code == 2 and "was not made by this command" in err
    assert Path("foreign.npy").read_bytes() == b"precious"


def test_a_text_that_is_too_long_fails_alone_or_is_cut(lepton):
    given = f"the cat\n{'hello ' * 300}\nquery\n"
    code, _, err = lepton("embed", "bert", "-o", "a.npy", given=given)
    assert code == 1 and "3 rows: 2 embedded, 1 failed" in err
    failed = json.loads(Path("a.npy.jsonl").read_text().splitlines()[1])["error"]
    assert failed["code"] == "context_overflow"
    assert failed["message"] == "the text has 302 tokens, the model reads 256"
    assert np.isnan(np.load("a.npy")).all(axis=1).tolist() == [False, True, False]
    code, out, err = lepton("embed", "bert", "--truncate", given=given)
    assert code == 0 and "--truncate cut 1 of the texts" in err
    assert json.loads(out.splitlines()[1])["counts"] == {"prompt": 256, "dropped": 46}


def test_an_empty_or_unreadable_row_is_an_error_of_its_own(lepton):
    code, out, _ = lepton(
        "embed", "bert", given='{"text": ""}\n{"text": "cat"}\n{"a": 1, "b": 2}\n'
    )
    first, second, third = map(json.loads, out.splitlines())
    assert code == 1 and "embedding" in second
    assert first["error"]["message"] == "text is empty"
    assert third["error"]["message"].startswith("no column is the text")


def test_the_input_is_never_an_output(lepton):
    Path("a.txt").write_text(LINES)
    Path("a.npy.jsonl").write_text('{"text": "cat"}\n')
    os.link("a.txt", "b.txt")
    for source, out in (("a.txt", "a.txt"), ("a.txt", "b.txt"), ("a.npy.jsonl", "a.npy")):
        before = Path(source).read_bytes()
        code, _, err = lepton("embed", "bert", "-f", source, "-o", out, "--overwrite")
        assert (code, Path(source).read_bytes()) == (2, before)
        assert f"{source} is both an input and an output" in err and "choose another -o" in err
    code, _, err = lepton("embed", "bert", "-o", "stdin", "--overwrite", given=LINES)
    assert (code, Path("stdin").read_text()) == (2, LINES)
    assert "stdin is both an input and an output" in err


def test_the_model_is_never_an_output(lepton, models):
    model = models / "bert.gguf"
    before = model.read_bytes()
    os.link(model, "a.npy.jsonl")
    for out in (str(model), "a.npy.jsonl", "a.npy"):
        code, _, err = lepton("embed", "bert", "cat", "-o", out, "--overwrite")
        assert (code, model.read_bytes() == before) == (2, True)
        assert "bert.gguf is both the model and an output" in err


def test_an_openai_request_is_answered_by_its_custom_id(lepton, expected):
    good = {"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"input": TEXTS}}
    bare = {"url": "/v1/embeddings", "body": {"input": "x"}}
    chat = {**good, "url": "/v1/chat/completions"}
    rows = [{"id": 1, **good}, {**good, "method": "GET"}, chat, bare]
    code, out, _ = lepton("embed", "bert", given="".join(f"{json.dumps(row)}\n" for row in rows))
    first, *failed = map(json.loads, out.splitlines())
    assert (code, first["custom_id"]) == (1, "a")
    found = [each["embedding"] for each in first["response"]["body"]["data"]]
    np.testing.assert_array_equal(np.array(found, np.float32), expected)
    assert [each["custom_id"] for each in failed] == ["a", "a", None]
    assert [each["response"]["body"]["error"]["message"] for each in failed] == [
        "the method is 'GET', not POST",
        "the url '/v1/chat/completions' is not /v1/embeddings",
        "the request has no custom_id",
    ]


# --- what is refused


@pytest.mark.parametrize(
    ("command", "model", "args", "message", "cure"),
    [
        ("run", "bert", ("hello",), "is an encoder (bert)", "use lepton embed "),
        ("chat", "bert", (), "is an encoder (bert)", "use lepton embed "),
        ("embed", "llama", ("hello",), "names no pooling", "--pooling mean"),
        ("embed", "judge", ("hello",), "is a reranker", "use lepton rerank "),
        ("rerank", "bert", ("hello", "-f", "stdin"), "is no reranker", "lepton embed"),
        ("embed", "bert", (), "there is no text", "-f FILE"),
        ("embed", "bert", ("a", "-f", "stdin"), "texts are given twice", "give them once"),
        ("embed", "bert", ("--format", "npy", "a"), "an array cannot be printed", "-o OUT.npy"),
        ("embed", "bert", ("--prefixes", "e5", "a"), "but not which", "--role query"),
        ("embed", "bert", ("--jobs", "0", "a"), "--jobs is '0'", "auto"),
        ("embed", "bert", ("-p", "x", "a"), "-p has no column", "{title}"),
        ("rerank", "judge", ("-f", "stdin"), "no query given", "for example: lepton rerank "),
        ("similar", "bert", ("a", "--index", "no.npy", "-f", "stdin"), "No such file", "path"),
        ("similar", "bert", ("a", "--index", "stdin", "-f", "stdin"), "is no array", "make one: "),
    ],
)
def test_a_wrong_use_is_one_line_with_a_cure(lepton, command, model, args, message, cure):
    Path("stdin").write_text(LINES)
    code, out, err = lepton(command, model, *args)
    assert (code, out) == (2, "")
    error, hint = err.splitlines()
    assert error.startswith("lepton: error: ") and message in error
    assert hint.startswith("lepton: hint: ") and cure in hint


def test_without_a_model_a_hint_says_where_to_find_one(lepton, capfdbinary):
    for command in ("embed", "rerank", "similar"):
        assert run([command]) == 2
        assert "hint: name the GGUF file of a" in capfdbinary.readouterr()[1].decode()


# --- rankings


def test_texts_are_ranked_by_a_reranker(lepton, models):
    with lepton_cli.load(models / "judge.gguf") as model:
        scores = model.rerank("the cat", TEXTS)
    order = np.argsort(-scores, kind="stable").tolist()
    _, out, _ = lepton("rerank", "judge", "the cat", given=LINES)
    printed = [line.split("\t") for line in out.splitlines()]
    assert [text for _, text in printed] == [TEXTS[n] for n in order]
    np.testing.assert_allclose([float(score) for score, _ in printed], scores[order], rtol=1e-5)
    _, out, _ = lepton("rerank", "judge", "the cat", "--top", "2", "--jsonl", given=LINES)
    records = [json.loads(line) for line in out.splitlines()]
    assert [each["row"] for each in records] == [n + 1 for n in order[:2]]
    assert list(records[0]) == ["row", "id", "score", "text"]


def test_a_row_that_cannot_be_ranked_is_named(lepton):
    code, _, err = lepton("rerank", "judge", "cat", given='{"text": "a"}\n{"text": ""}\n')
    assert code == 2 and "row 2: text is empty" in err
    code, _, err = lepton("rerank", "judge", "cat", given="a\n" + "hello " * 300)
    assert code == 4 and "text 2: the text has " in err and "--truncate" in err


def test_the_nearest_texts_are_found_with_and_without_an_index(lepton):
    Path("lines.txt").write_text(LINES)
    lepton("embed", "bert", "-f", "lines.txt", "-o", "lines.npy")
    for index in ((), ("--index", "lines.npy")):
        code, out, err = lepton("similar", "bert", "the cat", "-f", "lines.txt", *index)
        assert (code, err) == (0, "")
        lines = out.splitlines()
        assert len(lines) == 5 and lines[0] == "1\tthe cat"
        assert [float(line.split("\t")[0]) for line in lines] == sorted(
            (float(line.split("\t")[0]) for line in lines), reverse=True
        )
    _, out, _ = lepton("similar", "bert", "the cat", "-f", "lines.txt", "--top", "1", "--jsonl")
    assert json.loads(out) == {"row": 2, "id": None, "score": 1.0, "text": "the cat"}


def test_ten_of_the_nearest_texts_are_found_unless_all_are_asked_for(lepton):
    given = "".join(f"{n} cats\n" for n in range(12))
    for flags, count in (((), 10), (("--top", "0"), 12), (("--top", "2"), 2)):
        code, out, _ = lepton("similar", "bert", "the cat", *flags, given=given)
        assert (code, len(out.splitlines())) == (0, count)


def test_an_index_of_another_model_or_of_other_texts_is_refused(lepton):
    Path("lines.txt").write_text(LINES)
    lepton("embed", "bert", "-f", "lines.txt", "-o", "lines.npy")
    given = ("similar", "other", "cat", "-f", "lines.txt", "--index", "lines.npy")
    code, _, err = lepton(*given)
    assert code == 2 and "holds vectors of another model" in err and "make it anew: " in err
    code, _, err = lepton("similar", "bert", "cat", "--index", "lines.npy", given="one\ntwo\n")
    assert code == 2 and "holds 5 vectors, the input has 2 texts" in err
    np.save("narrow.npy", np.ones((5, 3), np.float32))
    code, _, err = lepton("similar", "bert", "cat", "-f", "lines.txt", "--index", "narrow.npy")
    assert code == 2 and "vectors of 3 numbers, those of" in err


def test_a_query_gets_the_prefix_of_queries_where_the_texts_have_that_of_documents(lepton):
    Path("lines.txt").write_text("search_query: cat\nhello\n")
    lepton("embed", "nomic", "-f", "lines.txt", "--role", "document", "-o", "a.npy")
    code, _, err = lepton("similar", "nomic", "cat", "-f", "lines.txt", "--index", "a.npy")
    assert code == 0 and err == 'lepton: note: before each text: "search_query: "\n'


def test_another_prefix_than_that_of_the_index_is_told(lepton):
    Path("lines.txt").write_text(LINES)
    lepton("embed", "bert", "-f", "lines.txt", "-o", "a.npy", "--prefix", "passage: ")
    given = ("similar", "bert", "cat", "-f", "lines.txt", "--index", "a.npy")
    texts = 'lepton: note: the texts of a.npy have the prefix "passage: ", this one '
    for flags, told in (
        ((), f"{texts}none: --prefix adds one\n"),
        (("--prefix", "query: "), f'{texts}"query: "\n'),
        (("--prefix", "passage: "), ""),
    ):
        assert lepton(*given, *flags)[2] == told


def test_a_text_without_a_vector_is_not_found(lepton):
    Path("lines.txt").write_text(f"the cat\n{'hello ' * 300}\n")
    lepton("embed", "bert", "-f", "lines.txt", "-o", "lines.npy")
    code, out, err = lepton("similar", "bert", "cat", "-f", "lines.txt", "--index", "lines.npy")
    assert (code, len(out.splitlines())) == (0, 1)
    assert err == "lepton: note: left out, without a vector in lines.npy: 1 of 2 texts\n"


def test_vectors_of_unnormalized_texts_are_compared_by_their_direction(lepton):
    Path("lines.txt").write_text(LINES)
    lepton("embed", "bert", "-f", "lines.txt", "-o", "a.npy", "--no-normalize")
    _, given, _ = lepton("similar", "bert", "cat", "-f", "lines.txt", "--index", "a.npy")
    assert given == lepton("similar", "bert", "cat", "-f", "lines.txt")[1]
