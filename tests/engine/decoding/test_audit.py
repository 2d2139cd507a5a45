"""The log of answers: complete lines, in any way that answers are made, or an error."""

import json
import os
import stat
import sys

import pytest
from make_gguf import CHATML, write_model

from lepton_cli.engine.chat.session import Session
from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.decoding.scheduler import Request
from lepton_cli.engine.events import Done, Text
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.model import open_model
from lepton_cli.engine.sampling.sampler import Sampling
from quant.errors import LeptonError, UsageError

WANTED = Generation(Sampling(seed=4), 9, ignore_eos=True)


@pytest.fixture
def model(tmp_path):
    path = write_model(tmp_path / "tiny.gguf", metadata={"tokenizer.chat_template": CHATML})
    with open_model(path, LoadOptions("cpu", 2)) as model:
        yield model


@pytest.fixture
def log(model, tmp_path):
    path = tmp_path / "log.jsonl"
    model.audit(path)
    return path


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_nothing_is_logged_unless_asked(model, tmp_path):
    before = set(os.listdir(tmp_path))
    list(model.stream([1, 5, 6], WANTED))
    assert set(os.listdir(tmp_path)) == before


def test_a_line_tells_what_was_read_and_said_and_how(model, log):
    ids = model.tokenizer.encode("hello <s> you")
    *_, done = model.stream(ids, WANTED)
    (line,) = lines(log)
    assert line["schema"] == "lepton.audit.v1" and line["time"].endswith("+00:00")
    assert line["model"]["identity"] == model.identity and line["model"]["name"] == "tiny llama"
    assert line["prompt"].endswith("hello <s> you")
    said = "".join(event.text for event in model.stream(ids, WANTED) if isinstance(event, Text))
    assert line["text"] == said and line["finish_reason"] == done.reason == "length"
    assert line["counts"] == {"prompt": len(ids), "cached": 0, "dropped": 0, "generated": 9}
    assert line["parameters"]["seed"] == 4 and line["parameters"]["top_k"] == 40
    assert len(lines(log)) == 2


def test_a_line_tells_what_was_banned(model, log):
    list(model.stream([1, 5], Generation(max_tokens=3, ban=("hello",))))
    assert lines(log)[0]["ban"] == ["hello"]


def test_a_seed_that_nobody_asked_for_is_logged_too(model, log):
    list(model.stream([1, 5], Generation(max_tokens=20, ignore_eos=True)))
    (line,) = lines(log)
    again = Generation(Sampling(seed=line["parameters"]["seed"]), 20, ignore_eos=True)
    list(model.stream([1, 5], again))
    assert lines(log)[1]["text"] == line["text"]


def test_a_line_is_there_before_the_end_is_reported(model, log):
    told = [(event, len(lines(log))) for event in model.stream([1, 5], WANTED)]
    assert isinstance(told[-1][0], Done) and told[-1][1] == 1
    assert told[-2][1] == 0


def test_an_answer_that_is_left_unfinished_is_logged_as_far_as_it_came(model, log):
    events = model.stream([1, 5], WANTED)
    said = []
    for event in events:
        if isinstance(event, Text):
            said.append(event.text)
            break
    events.close()
    (line,) = lines(log)
    assert line["text"] == "".join(said) and line["finish_reason"] is None


def test_chats_and_batches_are_logged(model, log):
    session = Session(model, WANTED, "Be brief.")
    for words in ("one", "two"):
        list(session.send(words))
    outcomes = list(model.batch([Request(key, (5, key), WANTED) for key in (7, 8, 9)], 2))
    told = lines(log)
    assert len(told) == 5
    assert "Be brief." in told[1]["prompt"] and "one" in told[1]["prompt"]
    assert told[1]["prompt"].count("<|im_start|>") == 5
    assert sorted(line["text"] for line in told[2:]) == sorted(o.text for o in outcomes)


def test_a_batch_logs_errors_as_answers_without_an_end(model, log):
    list(model.batch([Request(0, (), WANTED)], 2))
    (line,) = lines(log)
    assert line["finish_reason"] is None and line["counts"] == {"prompt": 0}


def test_the_log_grows_and_is_its_owners(model, log):
    list(model.stream([1, 5], WANTED))
    first = log.read_bytes()
    model.audit(log)
    list(model.stream([1, 5], WANTED))
    assert log.read_bytes().startswith(first) and len(lines(log)) == 2
    if sys.platform != "win32":
        assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_a_line_that_was_torn_does_not_spoil_the_next_one(model, log):
    list(model.stream([1, 5], WANTED))
    whole = log.read_bytes()
    log.write_bytes(whole + whole[:99])
    list(model.stream([1, 5], WANTED))
    first, torn, last = log.read_bytes().splitlines(keepends=True)
    assert (first, torn) == (whole, whole[:99] + b"\n")
    assert json.loads(last)["text"] == json.loads(first)["text"]


@pytest.mark.parametrize("content", [b"notes", b'{"other": 1}\n', b'{"schema": "lepton.run.v1"}\n'])
def test_nothing_is_appended_to_a_file_of_something_else(model, tmp_path, content):
    path = tmp_path / "mine.jsonl"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is not an audit log"):
        model.audit(path)
    assert path.read_bytes() == content


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_a_pipe_takes_lines_while_somebody_reads_it(model, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UsageError, match="has no reader"):
        model.audit(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    model.audit(pipe)
    for _ in range(2):
        list(model.stream([1, 5], WANTED))
    told = os.read(reader, 1 << 16).splitlines()
    os.close(reader)
    assert [json.loads(line)["schema"] for line in told] == ["lepton.audit.v1"] * 2


def test_a_log_that_cannot_be_written_is_refused_at_once(model, tmp_path):
    with pytest.raises(UsageError, match="no-folder"):
        model.audit(tmp_path / "no-folder" / "log.jsonl")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_a_full_disk_ends_the_answer(model, tmp_path):
    (tmp_path / "full").symlink_to("/dev/full")
    model.audit(tmp_path / "full")
    with pytest.raises(LeptonError, match="full") as failed:
        list(model.stream([1, 5], WANTED))
    assert failed.value.exit_code == 1
