"""A conversation as an immutable value: every change makes a new one."""

from dataclasses import dataclass, replace

from lepton_cli.engine.events import FinishReason
from lepton_cli.engine.text.messages import Message


@dataclass(frozen=True, slots=True)
class Turn:
    """A message; for an answer also why it ended, and its token ids if they are known."""

    message: Message
    reason: FinishReason | None = None
    token_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Conversation:
    """The system prompt, and the turns of user and model."""

    system: str | None = None
    turns: tuple[Turn, ...] = ()

    @property
    def messages(self) -> tuple[Message, ...]:
        system = () if self.system is None else (Message("system", self.system),)
        return (*system, *(turn.message for turn in self.turns))

    @property
    def questions(self) -> tuple[int, ...]:
        """The indices in `turns` of the user's messages."""
        return tuple(i for i, turn in enumerate(self.turns) if turn.message.role == "user")

    @property
    def last_answer(self) -> Turn | None:
        """The last turn, if it is an answer."""
        last = self.turns[-1] if self.turns else None
        return last if last is not None and last.message.role == "assistant" else None

    def plus(self, turn: Turn) -> "Conversation":
        return replace(self, turns=(*self.turns, turn))

    def until(self, end: int) -> "Conversation":
        return replace(self, turns=self.turns[:end])

    def since(self, start: int) -> "Conversation":
        return replace(self, turns=self.turns[start:])

    def without_tokens(self) -> "Conversation":
        """Without token ids: another model's vocabulary gives them another meaning."""
        return replace(self, turns=tuple(replace(turn, token_ids=()) for turn in self.turns))
