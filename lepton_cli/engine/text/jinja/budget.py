"""The resource limits of one rendering: CPU time, allocated bytes, length of texts.

A template cannot be interrupted from outside, so every operation checks these limits first, and no
single operation may take long: the size of operands is checked before they are compared or copied.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from jinja2 import Undefined
from jinja2.exceptions import TemplateRuntimeError

from lepton_cli.engine.text.jinja.provenance import spans_of

T = TypeVar("T")

ITEM_BYTES = 64  # least size of a list item
SPAN_BYTES = 128
MAX_NODES = 100_000  # values in a structure that is compared or printed, with repeats
MAX_BITS = 1024  # of a whole number


@dataclass(frozen=True, slots=True)
class TemplateLimits:
    """TemplateLimits: CPU `seconds`, `characters` of one text, total allocated `bytes`.

    `spent`: the seconds already used.
    """

    seconds: float = 2.0
    characters: int = 1_000_000
    bytes: int = 64_000_000
    spent: float = 0.0

    def grown(self, messages: int, characters: int) -> "TemplateLimits":
        """Larger limits for longer chats, as the work of some templates grows quadratically."""
        return TemplateLimits(
            self.seconds + 0.01 * messages,
            self.characters + 8 * characters,
            self.bytes + (256 + messages) * characters,
            self.spent,
        )


class LimitError(TemplateRuntimeError):
    """A template exceeded a limit."""


class Budget:
    """The resources used by one rendering."""

    def __init__(self, limits: TemplateLimits) -> None:
        self._limits = limits
        self._deadline = time.thread_time() + limits.seconds - limits.spent
        self._bytes_left = limits.bytes

    def tick(self) -> None:
        if time.thread_time() > self._deadline:
            raise LimitError(f"it takes more than {self._limits.seconds:g} s")

    def spend(self, count: int) -> None:
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise LimitError("it takes too much memory")

    def check_length(self, length: int) -> None:
        """Checks the length of a text before it is made."""
        if length > self._limits.characters:
            raise LimitError(f"it makes a text of more than {self._limits.characters} characters")

    def check_bits(self, bits: int) -> None:
        """Checks the size of an integer before it is made."""
        if bits > MAX_BITS:
            raise LimitError(f"it makes a number of more than {MAX_BITS} bits")

    def made(self, value: T) -> T:
        """Charges a value that an operation returned."""
        self.tick()
        if isinstance(value, str):
            self.check_length(len(value))
            self.spend(sys.getsizeof(value) + SPAN_BYTES * len(spans_of(value)))
        elif isinstance(value, list | tuple | dict):
            self.spend(ITEM_BYTES * len(value))
        elif isinstance(value, int):
            self.check_bits(value.bit_length())
        return value

    def metered(self, items: Iterable[T]) -> Iterator[T]:
        for item in items:
            self.tick()
            self.spend(ITEM_BYTES)
            yield item

    def pieces(self, texts: Iterable[str]) -> Iterator[str]:
        """The texts, checked so that they can be joined."""
        length = 0
        for text in texts:
            self.tick()
            length += len(text)
            self.check_length(length)
            yield text

    def check_size(self, value: object) -> None:
        """Checks a structure before Python traverses all of it.

        Shared parts count each time: repeated doubling could make the traversal endless.
        """
        waiting, nodes, length = [value], 0, 0
        while waiting:
            item = waiting.pop()
            if isinstance(item, list | tuple | dict):
                nodes += len(item)
                if nodes > MAX_NODES:
                    raise LimitError(f"it makes a structure of more than {MAX_NODES} values")
                waiting.extend(item.values() if isinstance(item, dict) else item)
                waiting.extend(item if isinstance(item, dict) else ())
            elif isinstance(item, str):
                length += len(item)
                self.check_length(length)
            elif not isinstance(item, int | float | range | Undefined | None):
                raise TemplateRuntimeError(f"a {type(item).__name__} is no text")
        self.tick()
