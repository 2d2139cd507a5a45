"""The tree of all turns of a chat: what was retried, undone or edited stays as a branch."""

import hashlib
import json
from dataclasses import dataclass, replace

from lepton_cli.engine.chat.conversation import Conversation, Turn
from lepton_cli.engine.text.messages import Message


@dataclass(frozen=True, slots=True)
class Node:
    """A turn or system prompt. `name` is a hash of it and of all turns before it."""

    name: str
    parent: str | None
    turn: Turn


@dataclass(frozen=True, slots=True)
class Branch:
    """One path from the root to a leaf."""

    name: str
    conversation: Conversation
    is_current: bool


class Tree:
    """All turns by name; turns are only added. None is the name of the empty conversation."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}  # parents come before their children

    def add(self, conversation: Conversation) -> str | None:
        """Adds the new turns of a conversation; returns the name of its last turn."""
        name = None
        for turn in _all_turns(conversation):
            node = Node(_name(name, turn), name, turn)
            self.nodes.setdefault(node.name, node)
            name = node.name
        return name

    def conversation(self, name: str | None) -> Conversation:
        """The conversation that ends with this turn."""
        turns: list[Turn] = []
        while name is not None:
            node = self.nodes[name]
            turns.append(node.turn)
            name = node.parent
        turns.reverse()
        if turns and turns[0].message.role == "system":
            return Conversation(turns[0].message.content, tuple(turns[1:]))
        return Conversation(None, tuple(turns))

    def branches(self, current: str | None) -> list[Branch]:
        """One per leaf that is an answer, oldest first, without answers that another continues."""
        inner = {node.parent for node in self.nodes.values()}
        answers: dict[str | None, list[Turn]] = {}
        for node in self.nodes.values():
            answers.setdefault(node.parent, []).append(node.turn)
        return [
            Branch(node.name, self.conversation(node.name), node.name == current)
            for node in self.nodes.values()
            if node.name == current
            or (
                node.turn.message.role == "assistant"
                and node.name not in inner
                and not any(_is_continued_by(node.turn, other) for other in answers[node.parent])
            )
        ]

    def forget_tokens(self) -> None:
        """Drops all token ids: another model's vocabulary gives them another meaning."""
        for name, node in self.nodes.items():
            self.nodes[name] = replace(node, turn=replace(node.turn, token_ids=()))


def _all_turns(conversation: Conversation) -> tuple[Turn, ...]:
    if conversation.system is None:
        return conversation.turns
    return (Turn(Message("system", conversation.system)), *conversation.turns)


def _is_continued_by(turn: Turn, other: Turn) -> bool:
    """Whether `turn` is an unfinished answer and `other` begins with it."""
    begun, whole = turn.message, other.message
    return (
        turn != other
        and begun.role == whole.role == "assistant"
        and turn.reason not in (None, "stop")
        and whole.content.startswith(begun.content)
        and (whole.reasoning or "").startswith(begun.reasoning or "")
    )


def _name(parent: str | None, turn: Turn) -> str:
    message = turn.message
    said = [parent, message.role, message.content, message.reasoning, turn.reason]
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=8).hexdigest()
