"""A session with a scripted model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fake_model import FakeModel, FakeTemplate

from lepton_cli.engine.chat.autosave import SavedSession
from lepton_cli.engine.chat.conversation import Conversation
from lepton_cli.engine.chat.session import Session
from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.events import Event, Reasoning, Text
from lepton_cli.engine.text.messages import Message, Segment
from quant.errors import UsageError


@dataclass
class Template(FakeTemplate):
    """ChatML that supports continued answers, and can be made to refuse."""

    refuses: bool = False

    def render(
        self, messages: Sequence[Message], *, continue_last: bool = False, **settings: Any
    ) -> list[Segment]:
        if self.refuses:
            raise UsageError("the template does not like it")
        if not continue_last:
            return super().render(messages, **settings)
        *asked, partial = messages
        thought = f"<think>{partial.reasoning}</think>" if partial.reasoning else ""
        opened = super().render(asked, add_generation_prompt=True)
        return [*opened, Segment(thought, trusted=True), Segment(partial.content, trusted=False)]


def chat(*answers: Sequence[str | Reasoning], **settings: Any) -> tuple[Session, FakeModel]:
    model = FakeModel(answers=answers or (("Hello", "!"),), template=Template(), **settings)
    return Session(model, Generation()), model


def said(events: Iterator[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


def contents(session: Session | Conversation | SavedSession) -> list[str]:
    held = session.conversation if isinstance(session, Session | SavedSession) else session
    return [message.content for message in held.messages]
