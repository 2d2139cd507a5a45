"""`lepton batch` on a model that answers rows out of their order."""

import os
import sys
from functools import partial
from pathlib import Path

import pytest
from call_forms import calling
from fake_batch import MANY, FakeBatchModel, batch_command, records, struck_after, write_rows
from fake_model import FakeTemplate

from lepton_cli.engine.constraints.constraint import Constraint
from lepton_cli.ui.arguments.files_read import files_read
from quant.errors import ConstraintError, OutOfMemoryError


@pytest.fixture
def lepton(monkeypatch, tmp_path, capfdbinary):
    return batch_command(monkeypatch, tmp_path, capfdbinary)


@pytest.fixture
def rows(tmp_path):
    return partial(write_rows, tmp_path)


# --- order and bytes


def test_results_come_in_the_order_of_the_rows(lepton, rows):
    model = FakeBatchModel()
    code, out, err = lepton(rows(*MANY), model=model)
    assert code == 0, err
    assert [each["id"] for each in records(out)] == list(range(10))
    assert [each["row"] for each in records(out)] == list(range(1, 11))
    assert model.answered[:3] != sorted(model.answered[:3])
    assert err == f"lepton: note: {err.removeprefix('lepton: note: ')}"
    assert err.startswith("lepton: note: 10 rows: 10 answered, 0 failed; 20 tokens in ")


def test_the_same_bytes_come_of_any_number_of_jobs_and_into_any_place(lepton, rows, tmp_path):
    name = rows(*MANY, "bad", *MANY[:3])
    _, expected, _ = lepton(name)
    for jobs in ("1", "2", "100", "auto"):
        assert lepton(name, "--jobs", jobs)[1] == expected
    lepton(name, "-o", "out.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == expected


def test_equal_rows_have_answers_of_their_own(lepton, rows):
    _, out, _ = lepton(rows(*[{"prompt": "a story"}] * 5))
    assert len({each["text"] for each in records(out)}) == 5
    _, out, _ = lepton(rows(*[{"prompt": "a story", "seed": 3}] * 5))
    assert {(each["seed"], each["text"]) for each in records(out)} == {(3, records(out)[0]["text"])}


def test_a_seed_is_reported_and_asked_for_again(lepton, rows):
    _, out, _ = lepton(rows({"prompt": "a"}))
    first = records(out)[0]
    _, out, _ = lepton(rows({"prompt": "a", "seed": first["seed"]}))
    assert records(out)[0]["text"] == first["text"]
    _, out, _ = lepton(rows({"prompt": "a"}), "-s", "5")
    assert records(out)[0]["seed"] != first["seed"]
    fresh = {records(lepton(rows({"prompt": "a"}), "-s", "-1")[1])[0]["seed"] for _ in range(3)}
    assert len(fresh) == 3


# --- what is asked of the model


def test_columns_system_prompt_and_parameters_reach_the_model(lepton, rows):
    model = FakeBatchModel()
    name = rows("who,what,seed,temp", 'Ann,"a, b",7,0.5', "Bob,c,,", name="rows.csv")
    code, _, err = lepton(
        name, "-p", r"{what}\n{{x}}", "-sys", "You are {who}.", "-n", "9", model=model
    )
    assert code == 0, err
    assert err.startswith("lepton: note: set by columns of the rows: seed, temp\n")
    seen = dict(zip(model.prompts, model.generations, strict=True))
    assert "system\nYou are Bob." in model.prompts[0]
    ann = next(prompt for prompt in seen if "Ann" in prompt)
    assert "user\na, b\n{x}" in ann
    assert (seen[ann].sampling.seed, seen[ann].sampling.temperature) == (7, 0.5)
    assert {generation.max_tokens for generation in seen.values()} == {9}


def test_raw_prompts_are_completed_as_they_are(lepton, rows):
    for model, flags in (
        (FakeBatchModel(), ("--raw",)),
        (FakeBatchModel(template=FakeTemplate(from_file=False)), ()),
    ):
        lepton(rows("Once upon", name="rows.txt"), *flags, model=model)
        assert model.prompts == ["Once upon"]
        assert not model.generations[0].split_reasoning


@pytest.mark.parametrize(("flags", "prompt"), [((), "a</s>b"), (("--parse-special",), "ab")])
def test_the_text_of_a_cell_becomes_a_special_token_only_when_asked(lepton, rows, flags, prompt):
    model = FakeBatchModel()  # tells the prompt without its special tokens
    lepton(rows("a</s>b", name="rows.txt"), "--raw", *flags, model=model)
    assert model.prompts == [prompt]


def test_stdin_is_an_input(lepton, monkeypatch, tmp_path):
    (tmp_path / "in").write_text('{"id": "a", "prompt": "hi"}\n')
    with open(tmp_path / "in") as file:
        monkeypatch.setattr("sys.stdin", file)
        code, out, _ = lepton("-")
    assert (code, records(out)[0]["id"]) == (0, "a")


def test_a_column_that_is_nearly_a_parameter_is_reported(lepton, rows):
    _, _, err = lepton(rows({"prompt": "a", "temprature": 1, "title": "x"}))
    told = [line for line in err.splitlines() if "is ignored" in line]
    assert told == ["lepton: note: the column 'temprature' is ignored; did you mean temperature?"]


# --- bad rows


def test_a_bad_row_is_an_error_of_its_own(lepton, rows):
    long = {"id": "long", "prompt": "x" * 500}
    name = rows(MANY[0], "{bad", {"id": "s", "prompt": "a", "seed": "x"}, long, MANY[1])
    code, out, err = lepton(name)
    found = records(out)
    assert code == 1
    assert "5 rows: 2 answered, 3 failed" in err
    assert [each.get("error", {}).get("code") for each in found] == [
        *(None, "bad_row", "bad_row", "context_overflow", None)
    ]
    assert [each["id"] for each in found] == [0, None, "s", "long", 1]
    assert "400" in found[3]["error"]["message"]


def test_a_request_in_openais_form_gets_an_answer_in_it(lepton, rows):
    body = {"messages": [{"role": "user", "content": "hi"}], "seed": 1}
    good = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    bad = {**good, "custom_id": "b", "body": {**body, "tools": [{}]}}
    whole = {**good, "custom_id": "c", "url": "/v1/completions", "body": {"prompt": "Once"}}
    code, out, _ = lepton(rows(good, bad, whole))
    first, second, third = records(out)
    assert code == 1
    assert [each["custom_id"] for each in (first, second, third)] == ["a", "b", "c"]
    assert (first["error"], first["response"]["status_code"]) == (None, 200)
    answer = first["response"]["body"]
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["role"] == "assistant"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens"] == 2
    assert (second["error"]["code"], second["response"]["status_code"]) == ("bad_row", 400)
    assert "tools" in second["response"]["body"]["error"]["message"]
    assert third["response"]["body"]["choices"][0]["text"]


def test_a_request_for_several_choices_gets_them_with_seeds_that_follow(lepton, rows):
    messages = [{"role": "user", "content": "hi"}]
    requests = [
        {"custom_id": "a", "body": {"messages": messages, "n": 3, "seed": 7}},
        {"custom_id": "b", "body": {"messages": messages, "seed": 8}},
        {"custom_id": "c", "body": {"messages": messages, "n": 2}},
    ]
    model = FakeBatchModel()
    code, out, err = lepton(rows(*requests), model=model)
    texts = [
        [choice["message"]["content"] for choice in each["response"]["body"]["choices"]]
        for each in records(out)
    ]
    assert (code, [len(each) for each in texts]) == (0, [3, 1, 2])
    assert len(set(texts[0])) == 3
    assert texts[0][1] == texts[1][0]  # the second seed is the next one
    assert sorted(each.sampling.seed for each in model.generations if each.sampling.seed < 99) == (
        [7, 8, 8, 9]
    )
    assert "3 rows: 3 answered, 0 failed; 12 tokens" in err
    for jobs in ("1", "2", "5"):
        assert lepton(rows(*requests), "--jobs", jobs)[1] == out


def test_choices_of_which_one_fails_are_an_error(lepton, rows):
    model = FakeBatchModel(unmet=ConstraintError("cut"))
    schema = {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}
    body = {"messages": [{"role": "user", "content": "hi"}], "n": 2, "response_format": schema}
    code, out, err = lepton(rows({"custom_id": "a", "body": body}, MANY[0]), model=model)
    assert (code, len(records(out))) == (1, 2)
    assert records(out)[0]["error"]["message"] == "cut"
    assert "2 rows: 1 answered, 1 failed" in err


def test_tools_that_the_template_leaves_out_are_an_error(lepton, rows):
    tools = [{"type": "function", "function": {"name": "f"}}]
    body = {"messages": [{"role": "user", "content": "which f is it?"}], "tools": tools}
    code, out, _ = lepton(rows({"custom_id": "a", "body": body}))
    assert code == 1
    assert "no place for tools" in records(out)[0]["response"]["body"]["error"]["message"]


def test_an_answer_that_must_call_a_tool_is_kept_to_calls(lepton, rows):
    body = {
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "function", "function": {"name": name}} for name in "fg"],
    }
    named = {"type": "function", "function": {"name": "g"}}
    wanted = [{**body, "tool_choice": choice} for choice in ("required", named, "auto")]
    model = FakeBatchModel(template=calling("json"))
    lepton(rows(*({"custom_id": "a", "body": each} for each in wanted)), model=model)
    texts = {each.constraint.text if each.constraint else "" for each in model.generations}
    by_calls = {text.count("one of"): text for text in texts}  # others may follow the first
    assert by_calls.keys() == {2, 1, 0}
    assert [name in by_calls[1] for name in ('"f"', '"g"')] == [False, True]


def test_a_template_whose_calls_an_answer_cannot_be_kept_to_is_told(lepton, rows):
    tools = [{"type": "function", "function": {"name": "f"}}]
    body = {"messages": [{"role": "user", "content": "hi"}], "tools": tools}
    row = {"custom_id": "a", "body": {**body, "tool_choice": "required"}}
    model = FakeBatchModel(template=calling("elements"))
    code, out, _ = lepton(rows(row), model=model)
    assert code == 1
    assert "cannot be kept to calls in this template's form" in records(out)[0]["error"]["message"]


def test_an_answer_that_is_not_what_it_had_to_be_is_an_error(lepton, rows):
    model = FakeBatchModel(unmet=ConstraintError("the answer was cut at 2 tokens"))
    code, out, _ = lepton(rows(MANY[0], {"prompt": "b", "choices": ["x"]}), model=model)
    free, bound = records(out)
    assert (code, "error" in free, bound["error"]["code"]) == (1, False, "unmet_constraint")
    assert model.generations[0].constraint == Constraint("choices", '["x"]')


# --- text


def test_a_template_makes_text_of_the_results(lepton, rows):
    code, out, _ = lepton(rows("a", "", "b", name="r.txt"), "--output-template", r"{row}\t{text}")
    lines = out.decode().splitlines()
    assert code == 0
    assert [line.split("\t")[0] for line in lines] == ["1", "2"]
    assert len(lines[0].split("\t")[1]) == 8
    code, out, _ = lepton(rows("{bad", MANY[1]), "--output-template", "{id}:{text}:{error}")
    first, second = out.decode().splitlines()
    assert first.startswith("::the row is not JSON")
    assert second.startswith("1:")
    code, _, err = lepton(rows(MANY[0]), "--output-template", "{txt}")
    assert code == 2
    assert "did you mean text?" in err


def test_a_text_file_is_made_from_results_that_stay_beside_it(lepton, rows, tmp_path):
    name, made = rows(*MANY), ("-o", "out.txt", "--output-template", "{id} {text}")
    assert lepton(name, *made)[0] == 0
    text = (tmp_path / "out.txt").read_text()
    assert [line.split()[0] for line in text.splitlines()] == [str(i) for i in range(10)]
    model = FakeBatchModel()
    (tmp_path / "out.txt").unlink()
    assert lepton(name, *made, model=model)[0] == 0
    assert (tmp_path / "out.txt").read_text() == text
    assert not model.prompts
    (tmp_path / "other.txt").write_text("mine")
    code, _, err = lepton(name, "-o", "other.txt", *made[2:])
    assert code == 2
    assert "--overwrite" in err
    assert (tmp_path / "other.txt").read_text() == "mine"


def test_a_text_that_is_not_made_of_the_results_is_not_replaced(lepton, rows, tmp_path):
    made, out = ("-o", "out.txt", "--output-template", "{row} {id}"), tmp_path / "out.txt"
    assert lepton(rows(*MANY[:4]), *made)[0] == 0
    assert lepton(rows(*MANY[4::-1]), *made)[0] == 0  # one more, and in another order
    text = out.read_text()
    assert [line.split() for line in text.splitlines()] == [
        [str(row), str(5 - row)] for row in range(1, 6)
    ]
    assert lepton(rows(*MANY[4::-1]), *made)[0] == 0
    for foreign in (text + "mine", text[:-1], "mine\n", text.replace("2 3", "2 4")):
        out.write_text(foreign)
        code, _, err = lepton(rows(*MANY[4::-1]), *made)
        assert code == 2 and "--overwrite" in err
        assert out.read_text() == foreign
    assert lepton(rows(*MANY[4::-1]), *made, "--overwrite")[0] == 0
    assert out.read_text() == text
    out.unlink()
    out.mkdir()  # told before anything is answered
    model = FakeBatchModel()
    code, _, err = lepton(rows(*MANY), *made, "--overwrite", model=model)
    assert code == 2 and "out.txt is a folder, not a file" in err and not model.prompts


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_a_pipe_gets_lines_where_somebody_reads_it(lepton, rows, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    name = rows(*MANY)
    code, _, err = lepton(name, "-o", "pipe")
    assert code == 2 and "has no reader" in err
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    assert lepton(name, "-o", "pipe")[0] == 0
    told = os.read(reader, 1 << 16)
    os.close(reader)
    assert told == lepton(name)[1] == lepton(name, "-o", "/dev/stdout")[1]


# --- failures


def test_a_failure_of_the_model_keeps_what_is_done(lepton, rows, tmp_path):
    def strike(count: int) -> None:
        if count == 4:
            raise OutOfMemoryError("no memory left")

    code, _, err = lepton(rows(*MANY), "-o", "o", model=FakeBatchModel(on_outcome=strike))
    assert code == 5
    assert "4 answered, 0 failed; 6 are left" in err
    assert len(records((tmp_path / "o").read_bytes())) == 4


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ((), "no input file given"),
        (("missing.txt",), "missing.txt"),
        (("rows.jsonl", "-o", "missing/out"), "another -o"),
        (("rows.jsonl", "-o", "."), "another -o"),
        (("rows.jsonl", "-o", "rows.jsonl"), "both an input and an output"),
        (("rows.jsonl", "-o", "./rows.jsonl"), "both an input and an output"),
        (
            ("rows.jsonl", "-o", "rows", "--output-template", "{text}", "--overwrite"),
            "both an input and an output",
        ),
        (("rows.jsonl", "-p", "{nothing}"), "no column 'nothing'"),
        (("rows.jsonl", "-p", "nothing"), "-p has no column"),
        (("rows.jsonl", "--jobs", "0"), "--jobs"),
        (("rows.jsonl", "--jobs", "many"), "--jobs"),
        (("rows.jsonl", "--delimiter", ";"), "--delimiter"),
        (("rows.jsonl", "--retry-errors"), "-o"),
        (("rows.jsonl", "--raw", "-sys", "x"), "chat template"),
    ],
)
def test_a_wrong_command_line_is_reported_before_anything_runs(lepton, rows, args, told):
    name = rows(*MANY)
    before = Path(name).read_bytes()
    model = FakeBatchModel()
    code, out, err = lepton(*args, model=model)
    assert (code, out, model.prompts) == (2, b"", [])
    assert told in err
    assert Path(name).read_bytes() == before


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("-o", "fake.gguf"), "fake.gguf is both the model and an output"),
        (("-o", "link"), "fake.gguf is both the model and an output"),
        (("-o", "s.txt", "-sysf", "s.txt"), "s.txt is both an option's file and an output"),
        (("-o", "s.txt", "-jf", "s.txt"), "s.txt is both an option's file and an output"),
        (("-o", "s.txt", "--lora", "s.txt:0.5"), "s.txt is both an adapter and an output"),
        (("-o", "new", "--audit", "./new"), "./new is both the audit log and an output"),
        (("-o", "o", "--audit", "rows.jsonl"), "rows.jsonl is both an input and an output"),
    ],
)
def test_no_file_of_the_command_is_its_output(lepton, rows, tmp_path, args, told):
    (tmp_path / "link").symlink_to("fake.gguf")
    (tmp_path / "s.txt").write_text("true")
    rows(*MANY)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    model = FakeBatchModel()
    code, _, err = lepton("rows.jsonl", *args, "--overwrite", model=model)
    assert (code, model.prompts) == (2, []) and told in err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_part_of_the_model_is_not_an_output():
    taken = files_read(Path("a-00001-of-00003.gguf"), [], [])
    assert list(taken) == [f"a-0000{n}-of-00003.gguf" for n in (1, 2, 3)]


def test_no_rows_are_no_error(lepton, rows, tmp_path):
    code, out, err = lepton(rows(), "-o", "out.jsonl")
    assert (code, out) == (0, b"")
    assert "0 rows" in err
    assert (tmp_path / "out.jsonl").read_bytes() == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_device_is_a_failure(lepton, rows):
    code, _, err = lepton(rows(*MANY), "-o", "/dev/full")
    assert code == 1
    assert "No space left" in err


# --- Ctrl-C


@pytest.mark.parametrize(("strikes", "done"), [((4,), 6), ((4, 4), 4), ((3, 5), 5)])
def test_ctrl_c_finishes_what_is_in_flight_and_then_stops(lepton, rows, tmp_path, strikes, done):
    name = rows(*MANY)
    _, expected, _ = lepton(name)
    code, _, err = lepton(name, "-o", "out.jsonl", model=struck_after(*strikes))
    assert code == 130
    assert f"10 rows: {done} answered, 0 failed; {10 - done} are left" in err
    assert len(records((tmp_path / "out.jsonl").read_bytes())) == done
    assert lepton(name, "-o", "out.jsonl")[0] == 0
    assert (tmp_path / "out.jsonl").read_bytes() == expected


def test_what_is_held_back_for_its_turn_is_said_at_a_stop(lepton, rows):
    code, out, _ = lepton(rows(*MANY), model=struck_after(1, 1))
    assert code == 130
    assert [each["id"] for each in records(out)] == [2]


def test_ctrl_c_inside_the_last_rows_changes_nothing(lepton, rows):
    code, out, _ = lepton(rows(*MANY), model=struck_after(9))
    assert (code, len(records(out))) == (0, 10)
