"""Forbids duplicate keys in JSON objects, which a grammar cannot express for maps.

Generation has one spelling per key (see `grammars.ESCAPES`), so equal keys are equal bytes.
"""

from dataclasses import dataclass, replace
from typing import Literal

BLANKS = b" \t\r\n"
JsonPosition = Literal["between", "before a key", "in a key", "in a text"]


@dataclass(frozen=True, slots=True)
class MapKeys:
    """The state in a JSON text. `open`: the keys of each enclosing object; None for a list.

    `spaced`: a space between tokens matters, since it can break up a banned text.
    """

    spaced: bool = False
    open: tuple[frozenset[bytes] | None, ...] = ()
    place: JsonPosition = "between"
    text: bytes = b""  # of the current key
    escaped: bool = False
    blank: bool = False  # whether the last byte was a space between tokens

    @property
    def settled(self) -> bool:
        """Whether no key can be required before the next one begins."""
        return self.place not in ("before a key", "in a key") or not (self.open and self.open[-1])

    def is_idle(self, data: bytes) -> bool:
        """Whether it is only spaces between tokens that have no influence."""
        if self.place in ("in a key", "in a text") or data.strip(BLANKS):
            return False
        return self.blank or not self.spaced or data != b" "

    def after(self, data: bytes) -> "MapKeys | None":
        """The state after more text; None if an object would have a duplicate key."""
        here: MapKeys | None = self
        for byte in data:
            here = here and here._after(byte)
        return here

    def _after(self, byte: int) -> "MapKeys | None":
        if self.place in ("in a key", "in a text"):
            return self._within(byte)
        if byte in BLANKS:
            return self if self.blank else replace(self, blank=True)
        here = replace(self, blank=False) if self.blank else self
        return here._between(byte)

    def _between(self, byte: int) -> "MapKeys":
        match chr(byte):
            case '"':
                return replace(
                    self, place="in a key" if self.place == "before a key" else "in a text"
                )
            case "{":
                return replace(self, open=(*self.open, frozenset()), place="before a key")
            case "[":
                return replace(self, open=(*self.open, None), place="between")
            case "}" | "]":
                return replace(self, open=self.open[:-1], place="between")
            case "," if self.open and self.open[-1] is not None:
                return replace(self, place="before a key")
        return self

    def _within(self, byte: int) -> "MapKeys | None":
        """Continues or ends a key or a string."""
        if self.escaped or byte != ord('"'):
            text = self.text + bytes([byte]) if self.place == "in a key" else b""
            return replace(self, text=text, escaped=byte == ord("\\") and not self.escaped)
        if self.place == "in a text":
            return replace(self, place="between")
        keys = self.open[-1] or frozenset()
        if self.text in keys:
            return None
        known = (*self.open[:-1], keys | {self.text})
        return replace(self, open=known, place="between", text=b"")
