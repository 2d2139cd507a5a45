"""What was said so far, as a value: every change makes a new one, so that nothing is half done."""

from dataclasses import dataclass, replace

from lepton_cli.engine.events import FinishReason
from lepton_cli.engine.text.messages import Message


@dataclass(frozen=True, slots=True)
class Turn:
    """One message; of an answer also why it ended, and its tokens where they are known."""

    message: Message
    reason: FinishReason | None = None
    token_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Conversation:
    """The system text, and the turns of the person and the model."""

    system: str | None = None
    turns: tuple[Turn, ...] = ()

    @property
    def messages(self) -> tuple[Message, ...]:
        system = () if self.system is None else (Message("system", self.system),)
        return (*system, *(turn.message for turn in self.turns))

    @property
    def questions(self) -> tuple[int, ...]:
        """Where in `turns` the person speaks."""
        return tuple(i for i, turn in enumerate(self.turns) if turn.message.role == "user")

    @property
    def last_answer(self) -> Turn | None:
        """The last turn, if the model spoke it."""
        last = self.turns[-1] if self.turns else None
        return last if last is not None and last.message.role == "assistant" else None

    def plus(self, turn: Turn) -> "Conversation":
        return replace(self, turns=(*self.turns, turn))

    def until(self, end: int) -> "Conversation":
        return replace(self, turns=self.turns[:end])

    def since(self, start: int) -> "Conversation":
        return replace(self, turns=self.turns[start:])

    def without_tokens(self) -> "Conversation":
        """For another model, whose vocabulary gives the ids another meaning."""
        return replace(self, turns=tuple(replace(turn, token_ids=()) for turn in self.turns))
