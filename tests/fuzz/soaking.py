"""The soak test: one process repeats all commands, and its memory must not grow."""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fuzz.kinds import LONG, MODEL, QUICK, ROWS, prepare
from lepton_cli.program import run

WARM = 20  # rounds that fill the caches
MAX_GROWTH = 16 << 20  # bytes
PAGE = os.sysconf("SC_PAGE_SIZE")
CPU = ("--backend", "cpu", "-n", "20", "--temp", "0")


@dataclass(frozen=True, slots=True)
class Held:
    rounds: int
    memory: int  # bytes
    files: int

    @classmethod
    def now(cls, rounds: int) -> "Held":
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(rounds, pages * PAGE, len(os.listdir("/proc/self/fd")))


def soak(minutes: float) -> tuple[Held, Held]:
    """Memory and open files after warming up, and at the end. Linux only."""
    end, rounds, warm = time.monotonic() + 60 * minutes, 0, None
    with tempfile.TemporaryDirectory(prefix="lepton-soak-") as folder, _quiet():
        os.chdir(folder)
        prepare(Path(folder))
        while warm is None or time.monotonic() < end:
            for words in _commands():
                code = run(words)
                assert code == 0, f"{words}: exit {code}"
            rounds += 1
            if rounds == WARM:
                warm = Held.now(rounds)
        os.chdir("/")
    return warm, Held.now(rounds)


def _commands() -> list[list[str]]:
    return [
        ["run", MODEL, "hi", *CPU, "--no-stdin"],
        ["run", MODEL, LONG, "--raw", *CPU, "--no-stdin", "-ctk", "q8_0", "-ctv", "q8_0"],
        ["run", MODEL, "hi", *QUICK, "--choices", "yes,no", "-n", "9"],
        ["run", MODEL, "hi", *QUICK, "--candidates", "3"],
        ["batch", MODEL, ROWS, *CPU],
        ["chat", MODEL, "hi", *CPU],
        ["template", MODEL, "hi"],
        ["tokenize", MODEL, LONG],
        ["inspect", MODEL, "--metadata"],
    ]


@contextmanager
def _quiet() -> Iterator[None]:
    """Runs with stdin and stdout redirected to /dev/null."""
    before = sys.stdin, sys.stdout, sys.stderr
    with open(os.devnull) as keys, open(os.devnull, "w") as out:
        sys.stdin, sys.stdout, sys.stderr = keys, out, out
        try:
            yield
        finally:
            sys.stdin, sys.stdout, sys.stderr = before
