"""Texts that an answer must not hold, also where several tokens spell them together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Bans:
    """`said` is as much of what was said last as can be the beginning of a banned text."""

    texts: tuple[bytes, ...]
    said: bytes = b""

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Bans | None":
        banned = tuple(text.encode() for text in texts if text)
        return cls(banned) if banned else None

    @property
    def settled(self) -> bool:
        """A grammar may demand a banned text at any later place."""
        return False

    def is_idle(self, data: bytes) -> bool:
        return False

    def after(self, data: bytes) -> "Bans | None":
        """Once that was said too; None: it may not be said."""
        text = self.said + data
        if any(banned in text for banned in self.texts):
            return None
        longest = max(map(len, self.texts))
        return replace(self, said=text[max(0, len(text) - longest + 1) :])
