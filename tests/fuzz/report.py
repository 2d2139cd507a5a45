"""The table of a run: one line per kind of test with its highest cost and its findings."""

from typing import TextIO


class Table:
    def __init__(self, stream: TextIO) -> None:
        self._stream, self._failed = stream, list[str]()
        self._write("| tried | times | outcome |")
        self._write("|---|---:|---|")

    def row(self, what: str, times: int, outcome: str, *failed: str) -> None:
        """Adds a row; `failed`: findings, printed below the table."""
        found = f"; **{len(failed)} found**" if failed else ""
        self._failed += failed
        self._write(f"| {what} | {times} | {outcome}{found} |")

    def end(self) -> int:
        """The exit code."""
        for line in self._failed:
            self._write(f"found: {line}")
        return int(bool(self._failed))

    def _write(self, line: str) -> None:
        print(line, file=self._stream, flush=True)
