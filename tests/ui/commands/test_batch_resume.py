"""`lepton batch` that continues what an earlier run began."""

from collections.abc import Sequence
from datetime import date, datetime
from functools import partial

import pytest
from fake_batch import (
    MANY,
    FakeBatchModel,
    Killed,
    batch_command,
    killed_after,
    records,
    write_rows,
)
from fake_model import FakeTemplate

from lepton_cli.engine.text.messages import Message, Segment


@pytest.fixture
def lepton(monkeypatch, tmp_path, capfdbinary):
    return batch_command(monkeypatch, tmp_path, capfdbinary)


@pytest.fixture
def rows(tmp_path):
    return partial(write_rows, tmp_path)


@pytest.mark.parametrize("count", [0, 1, 5, 9])
def test_a_run_that_ended_continues_where_it_was(lepton, rows, tmp_path, count):
    name = rows(*MANY, "bad")
    _, expected, _ = lepton(name)
    with pytest.raises(Killed):
        lepton(name, "-o", "out.jsonl", model=killed_after(count))
    model = FakeBatchModel()
    code, _, err = lepton(name, "-o", "out.jsonl", model=model)
    assert (tmp_path / "out.jsonl").read_bytes() == expected
    assert code == 1
    assert len(model.answered) == 10 - count
    told = {
        0: "",
        1: "; 1 was there before",
        5: "; 5 were there before",
        9: "were there before",
    }
    assert told[count] in err and ("there before" in err) == bool(count)


def test_rows_are_known_by_their_content(lepton, rows, tmp_path):
    lepton(rows(*MANY[:5]), "-o", "out.jsonl")
    before = {each["id"]: each["text"] for each in records((tmp_path / "out.jsonl").read_bytes())}
    model = FakeBatchModel()
    lepton(rows(*MANY[7:], *MANY[4::-1]), "-o", "out.jsonl", model=model)
    after = records((tmp_path / "out.jsonl").read_bytes())
    assert [each["id"] for each in after] == [7, 8, 9, 4, 3, 2, 1, 0]
    assert [each["row"] for each in after] == list(range(1, 9))
    assert {each["id"]: each["text"] for each in after[3:]} == before
    assert len(model.answered) == 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("--temp", "0"), "other parameters"),
        (("-n", "3"), "other parameters"),
        (("-ctk", "q8_0"), "other parameters"),
        (("-sys", "Be brief."), "another prompt template"),
        (("-p", "Say {prompt}"), "another prompt template"),
        (("--no-think",), "another prompt template"),
    ],
)
def test_results_of_other_settings_are_refused_unless_told(lepton, rows, tmp_path, change, told):
    name = rows(*MANY)
    lepton(name, "-o", "out.jsonl")
    before = (tmp_path / "out.jsonl").read_bytes()
    model = FakeBatchModel()
    code, _, err = lepton(name, "-o", "out.jsonl", *change, model=model)
    assert (code, model.answered) == (2, [])
    assert told in err
    assert (tmp_path / "out.jsonl").read_bytes() == before
    _, expected, _ = lepton(name, *change)
    code, _, _ = lepton(name, "-o", "out.jsonl", *change, "--overwrite")
    assert code == 0
    assert (tmp_path / "out.jsonl").read_bytes() == expected


def test_results_of_another_model_or_other_rows_are_refused(lepton, rows, tmp_path):
    name = rows(*MANY)
    lepton(name, "-o", "out.jsonl")
    code, _, err = lepton(name, "-o", "out.jsonl", model=FakeBatchModel(identity="another"))
    assert code == 2
    assert "10 results of another model" in err
    code, _, err = lepton(rows(*MANY[1:]), "-o", "out.jsonl")
    assert code == 2
    assert "1 result of rows that are not in the input" in err
    assert len(records((tmp_path / "out.jsonl").read_bytes())) == 10


def test_how_it_runs_is_not_an_other_setting(lepton, rows):
    name = rows(*MANY)
    lepton(name, "-o", "out.jsonl")
    model = FakeBatchModel()
    how = ("-t", "3", "-ub", "64", "--jobs", "2", "-v")
    assert lepton(name, "-o", "out.jsonl", *how, model=model)[0] == 0
    assert not model.answered


def test_failed_rows_are_tried_again_when_asked(lepton, rows, tmp_path):
    name = rows(MANY[0], {"id": "long", "prompt": "x" * 500}, "bad")
    assert lepton(name, "-o", "out.jsonl")[0] == 1
    code, _, err = lepton(name, "-o", "out.jsonl")
    assert code == 1
    assert "3 were there before, 2 failed (--retry-errors)" in err
    roomy = FakeBatchModel(context_size=1000)
    assert lepton(name, "-o", "out.jsonl", "--retry-errors", model=roomy)[0] == 1
    assert len(roomy.answered) == 1
    found = records((tmp_path / "out.jsonl").read_bytes())
    assert ["error" in each for each in found] == [False, False, True]


# --- the date

DATED = "{{ date_string }}{% for message in messages %}...{% endfor %}"


class Template(FakeTemplate):
    """Tells the day and the hour."""

    def render(self, messages: Sequence[Message], *, now: datetime | None, **how) -> list[Segment]:
        told = f"{now or datetime.now():%Y-%m-%d %H:%M} "
        return [Segment(told, trusted=False), *super().render(messages, **how)]


@pytest.fixture
def on(monkeypatch):
    """Makes it another day."""

    def set_day(text: str) -> None:
        class Day(date):
            @classmethod
            def today(cls) -> date:
                return date.fromisoformat(text)

        monkeypatch.setattr("lepton_cli.ui.commands.batch.date", Day)

    return set_day


def test_a_batch_that_continues_another_day_stays_in_the_day_that_it_began(
    lepton, rows, tmp_path, on
):
    name = rows(*MANY)
    on("2026-02-28")
    _, expected, _ = lepton(name, model=FakeBatchModel(template=Template(source=DATED)))
    with pytest.raises(Killed):
        stopped = killed_after(3)
        stopped.template = Template(source=DATED)
        lepton(name, "-o", "out.jsonl", model=stopped)
    on("2026-03-01")
    model = FakeBatchModel(template=Template(source=DATED))
    code, _, err = lepton(name, "-o", "out.jsonl", model=model)
    assert code == 0, err
    assert (tmp_path / "out.jsonl").read_bytes() == expected
    assert len(model.answered) == 7
    assert all(prompt.startswith("2026-02-28 00:00 ") for prompt in model.prompts)
    fresh = FakeBatchModel(template=Template(source=DATED))
    lepton(name, model=fresh)
    assert all(prompt.startswith("2026-03-01 00:00 ") for prompt in fresh.prompts)


def test_a_template_without_a_date_is_of_no_day(lepton, rows, on):
    on("2026-02-28")
    _, first, _ = lepton(rows(*MANY))
    on("2026-03-01")
    assert lepton(rows(*MANY))[1] == first
    raw = FakeBatchModel(template=FakeTemplate(source=DATED))
    assert b"20260301" not in lepton(rows(*MANY), "--raw", model=raw)[1]


def test_results_of_other_instructions_are_refused(lepton, rows):
    name = rows(*MANY)
    lepton(name, "-o", "out.jsonl")
    code, _, err = lepton(name, "-o", "out.jsonl", model=FakeBatchModel(arithmetic="x86.other"))
    assert code == 2
    assert "10 results of another CPU's instructions (LEPTON_CPU" in err
