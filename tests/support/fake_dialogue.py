"""A chat with a fake model, as the tests of slash commands hold it."""

from collections.abc import Sequence

from fake_model import FakeModel

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.events import Reasoning
from lepton_cli.ui.repl.dialogue import ChatOptions, Dialogue
from quant.errors import ModelFileError


def load_model(name: str) -> FakeModel:
    if name != "other":
        raise ModelFileError(f"no model {name}")
    return FakeModel(answers=[["I am the other."]], name="Other")


def dialogue(*answers: Sequence[str | Reasoning]) -> Dialogue:
    """A chat whose screen is stderr, as it is under pytest."""
    model = FakeModel(answers=answers or (["Hello", "!"],))
    options = ChatOptions(Generation(), plain=True)
    return Dialogue(model, options, load_model, by_hand=True)


def talked(*answers: Sequence[str | Reasoning]) -> Dialogue:
    talk = dialogue(*answers)
    talk.ask("a question")
    return talk


def contents(talk: Dialogue) -> list[str]:
    return [message.content for message in talk.session.messages]
