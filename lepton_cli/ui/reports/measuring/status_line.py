"""A line that says how far a measurement is."""

from typing import TextIO

from lepton_cli.ui.terminal.terminal import sanitize, width_of
from lepton_cli.ui.terminal.wrapping import cut


class StatusLine:
    """A status line that is overwritten on a terminal; prints nothing elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._shown = stream, stream.isatty()

    def __call__(self, text: str) -> None:
        if self._shown:
            room = (width_of(self._stream) or 80) - 1
            self._stream.write(f"\r\x1b[2K{cut(sanitize(text), room)}")
            self._stream.flush()

    def clear(self) -> None:
        if self._shown:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()
