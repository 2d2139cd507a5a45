"""`/lora`: the adapters of the open model, listed, switched and rescaled."""

from pathlib import Path

import pytest
from fake_dialogue import talked
from fake_model import FakeAdapters, FakeModel

from lepton_cli.engine.loading.adapters import AdapterState
from lepton_cli.ui.repl.dialogue import Dialogue
from lepton_cli.ui.repl.slash_commands import run_command
from quant.errors import UsageError

ABOUT = "LoRA of rank 4"


def with_adapters() -> tuple[Dialogue, FakeAdapters]:
    talk = talked()
    model = talk.session.model
    assert isinstance(model, FakeModel)
    model.adapters = FakeAdapters(
        (
            AdapterState(Path("here/style.gguf"), 0.5, ABOUT, 0.5),
            AdapterState(Path("here/my facts.gguf"), 0.0, ABOUT, 0.0),
        )
    )
    return talk, model.adapters


def test_the_list_shows_numbers_names_and_scales(capsys):
    talk, _ = with_adapters()
    capsys.readouterr()
    run_command(talk, "/lora")
    shown = capsys.readouterr().err
    assert f"1  style  x 0.5  {ABOUT}" in shown and f"2  my facts  off  {ABOUT}" in shown


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("1 2", (0, 2.0)),
        ("style off", (0, 0.0)),
        ("style on", (0, 0.5)),  # as it was opened
        ("my facts on", (1, 1.0)),  # it was opened switched off
        ("2 -0.25", (1, -0.25)),
        ("here/style.gguf 1e-1", (0, 0.1)),
    ],
)
def test_one_is_rescaled(capsys, typed, expected):
    talk, adapters = with_adapters()
    run_command(talk, f"/lora {typed}")
    assert adapters.rescaled == [expected]
    assert "reads the chat anew" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("3 1", "no adapter 3"),
        ("0 1", "no adapter 0"),
        ("stile 1", "no adapter stile"),
        ("style", "needs an adapter and its scale"),
        ("style much", "'much' is not a number"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_cure(typed, message):
    talk, adapters = with_adapters()
    with pytest.raises(UsageError) as caught:
        run_command(talk, f"/lora {typed}")
    assert message in caught.value.message and caught.value.hint
    assert not adapters.rescaled


def test_a_model_without_adapters_says_how_to_open_one():
    with pytest.raises(UsageError) as caught:
        run_command(talked(), "/lora")
    assert "--lora FILE" in (caught.value.hint or "")
