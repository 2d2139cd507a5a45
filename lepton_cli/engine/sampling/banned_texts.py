"""Banned texts, which an answer must not contain, even spelled by several tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Bans:
    """`tail` is the end of the answer so far, as long as it can be part of a banned text."""

    texts: tuple[bytes, ...]
    tail: bytes = b""

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Bans | None":
        banned = tuple(text.encode() for text in texts if text)
        return cls(banned) if banned else None

    @property
    def settled(self) -> bool:
        """False: a grammar may require a banned text at any later position."""
        return False

    def is_idle(self, data: bytes) -> bool:
        return False

    def after(self, data: bytes) -> "Bans | None":
        """The state after more text; None if that completes a banned text."""
        text = self.tail + data
        if any(banned in text for banned in self.texts):
            return None
        longest = max(map(len, self.texts))
        return replace(self, tail=text[max(0, len(text) - longest + 1) :])
