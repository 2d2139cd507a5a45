"""What `/set` takes, shows, refuses and resets."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from fake_dialogue import contents, dialogue
from fake_model import FakeModel

from lepton_cli.engine.sampling.sampler import Sampling
from lepton_cli.ui.repl.slash_commands import run_command
from lepton_cli.ui.repl.values import VALUES, Value
from quant.errors import LeptonError


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """What was said on the side since the last time, on one line."""
    return lambda: " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.name)
def test_every_setting_takes_back_what_it_shows(value: object, told: Callable[[], str]) -> None:
    name = getattr(value, "name")  # noqa: B009
    talk = dialogue()
    run_command(talk, f"/set {name}")
    shown = told().partition(" = ")[2]
    before = talk.session.generation
    run_command(talk, f"/set {name} {shown}")
    assert talk.session.generation == before


@pytest.mark.parametrize(
    ("line", "field", "wanted"),
    [
        ("/set temp 0.5", "temperature", 0.5),
        ("/set --top-k 7", "top_k", 7),
        ("/set seed 3", "seed", 3),
        ("/set samplers top_k;temp", "samplers", ("top_k", "temperature")),
    ],
)
def test_set_changes_sampling(line: str, field: str, wanted: object) -> None:
    talk = dialogue()
    run_command(talk, line)
    assert getattr(talk.session.generation.sampling, field) == wanted


def test_set_changes_the_next_answer() -> None:
    talk = dialogue(["1", "2", "3"])
    run_command(talk, "/set n 2")
    run_command(talk, "/set stop \\n\\n")
    run_command(talk, "/set overflow drop-old")
    talk.ask("count")
    model: FakeModel = talk.session.model  # type: ignore[assignment]
    assert contents(talk)[-1] == "12"
    assert model.generations[0].stop == ("\n\n",)
    assert model.generations[0].overflow == "drop-old"


@pytest.mark.parametrize(
    "line",
    [
        "/set temp warm",
        "/set top_p 2",
        "/set top_k 1.5",
        "/set overflow never",
        "/set thinking perhaps",
        "/set reasoning loud",
        "/set samplers magic",
        "/set seed -7",
        "/set tmep 1",
    ],
)
def test_set_refuses_what_makes_no_sense_and_changes_nothing(line: str) -> None:
    talk = dialogue()
    before = talk.session.generation
    with pytest.raises(LeptonError) as refused:
        run_command(talk, line)
    assert talk.session.generation == before
    assert refused.value.hint


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.name)
def test_every_setting_is_reset_by_itself(value: Value, told: Callable[[], str]) -> None:
    talk = dialogue()
    run_command(talk, f"/set {value.name} default")
    assert value.read(talk) == value.default


def test_a_reset_changes_one_value() -> None:
    talk = dialogue()
    run_command(talk, "/set temp 0.1")
    run_command(talk, "/set stop x")
    run_command(talk, "/set top_k 7")
    run_command(talk, "/set temp default")
    run_command(talk, "/set stop default")
    assert talk.session.generation.sampling == replace(Sampling(), top_k=7)
    assert talk.session.generation.stop == ()


def test_set_alone_lists_all(told: Callable[[], str]) -> None:
    run_command(dialogue(), "/set")
    shown = told()
    assert all(value.name in shown for value in VALUES)
