"""The keys of a JSON text's objects: none may come twice, which no grammar can say of a map.

Generation writes each key in one way (see `grammars.ESCAPES`), so equal keys are equal bytes.
"""

from dataclasses import dataclass, replace
from typing import Literal

BLANKS = b" \t\r\n"
Place = Literal["between", "before a key", "in a key", "in a text"]


@dataclass(frozen=True, slots=True)
class MapKeys:
    """How far a JSON text has come. `open` are the keys of each object around; None: a list.

    `spaced`: one blank between parts is of use, since it keeps them from being a banned text.
    """

    spaced: bool = False
    open: tuple[frozenset[bytes] | None, ...] = ()
    place: Place = "between"
    text: bytes = b""  # of the key that has begun
    escaped: bool = False
    blank: bool = False  # whether the last was one, between the parts

    @property
    def settled(self) -> bool:
        """Whether no key can be wanted before the next one begins."""
        return self.place not in ("before a key", "in a key") or not (self.open and self.open[-1])

    def is_idle(self, data: bytes) -> bool:
        """Blanks between parts are, but for one where it is of use."""
        if self.place in ("in a key", "in a text") or data.strip(BLANKS):
            return False
        return self.blank or not self.spaced or data != b" "

    def after(self, data: bytes) -> "MapKeys | None":
        """Once that was written too; None: an object would have a key twice."""
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
        """A key or a text goes on or ends."""
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
