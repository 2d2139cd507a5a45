"""A run's steps: each is tried, told in a line and counted, whatever befalls the one before it."""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from multiprocessing.pool import RemoteTraceback
from typing import Literal, TextIO

Verdict = Literal["ok", "FAILED", "skipped"]
TAIL = 16  # lines of a failure's traceback


class Skip(Exception):  # noqa: N818  it is not an error
    """What a step raises that cannot be done here, with the reason: it does not count as ok."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a step went."""

    name: str
    verdict: Verdict
    detail: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.verdict:8}{self.name}  {self.detail}  ({self.seconds:.1f} s)"


class Steps:
    """Runs steps whose names fit a pattern, until the time is up; `on_outcome` hears of each."""

    def __init__(
        self,
        stream: TextIO,
        *,
        only: str | None = None,
        seconds: float = float("inf"),
        clock: Callable[[], float] = time.monotonic,
        on_outcome: Callable[[], None] = lambda: None,
    ) -> None:
        self.outcomes: list[Outcome] = []
        self._stream, self._only, self._clock = stream, only, clock
        self._end, self._on_outcome = clock() + seconds, on_outcome

    @property
    def failed(self) -> bool:
        return any(outcome.verdict == "FAILED" for outcome in self.outcomes)

    @property
    def left(self) -> float:
        """Seconds, for those who start other programs."""
        return max(self._end - self._clock(), 0.0)

    @property
    def summary(self) -> str:
        """How many of each verdict."""
        verdicts = [outcome.verdict for outcome in self.outcomes]
        return ", ".join(f"{verdicts.count(one)} {one}" for one in ("ok", "FAILED", "skipped"))

    def wants(self, name: str) -> bool:
        return self._only is None or fnmatch(name, f"*{self._only}*")

    def run(self, name: str, work: Callable[[], str]) -> None:
        """`work` gives what is to be told. Any exception of it ends here, but Ctrl-C."""
        if not self.wants(name):
            return
        begin = self._clock()
        if begin >= self._end:
            self._tell(Outcome(name, "skipped", "no time was left for it", 0.0))
            return
        trace = ""
        try:
            verdict, detail = _verdict(work)
        except Exception as error:
            verdict, detail = "FAILED", f"{type(error).__name__}: {_first_line(error)}"
            trace = _trace(error)
        self._tell(Outcome(name, verdict, detail, self._clock() - begin))
        for line in trace.splitlines()[-TAIL:]:
            print(f"        {line}", file=self._stream, flush=True)

    def _tell(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        print(outcome, file=self._stream, flush=True)
        self._on_outcome()


def _verdict(work: Callable[[], str]) -> tuple[Verdict, str]:
    try:
        return "ok", work()
    except Skip as reason:
        return "skipped", str(reason)


def _trace(error: Exception) -> str:
    """Where it was raised, which may have been in another process."""
    cause = error.__cause__
    if isinstance(cause, RemoteTraceback):
        return str(cause).strip('\n"')
    return "".join(traceback.format_exception(error))


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
