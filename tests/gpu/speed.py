"""The bench table: decode beside the card's copy bandwidth and the goals, prefill, the start."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpu.suites import run
from lepton_cli.engine.measure.benchmark import Result, Schedule, Setup, benchmark
from lepton_cli.engine.measure.workload import Trial

PROMPT, ANSWER, REPEATS = 512, 128, 3
GOALS = {  # shares of the copy bandwidth in decode: of GeForce cards, of those for data centres
    ("llama8b", "Q8_0"): (0.65, 0.45),
    ("llama8b", "Q4_0"): (0.50, 0.30),
    ("llama8b", "Q4_K_M"): (0.50, 0.30),
    ("llama1b", "Q4_0"): (0.30, 0.12),
}
FIRST_TOKEN = 3.0  # seconds: the goal of 8B models
DESKTOP = ("GeForce", "RTX", "TITAN")
HEADER = ("model", "decode t/s", "GB/s", "of copy", "goal", "prefill 512 t/s", "first token s")
START = ["--raw", "-n", "1", "--temp", "0", "--backend", "cuda", "-ngl", "all", "-c", "512"]


@dataclass(frozen=True, slots=True)
class Row:
    """One file's speed. Tokens and bytes are those of a second."""

    shape: str
    kind: str
    decode: float
    read: float
    share: float | None
    goal: float
    prefill: float
    first_token: float  # seconds from the start of the program, files and kernels warm

    @property
    def model(self) -> str:
        return f"{self.shape} {self.kind}"

    @property
    def reached(self) -> bool:
        return self.share is not None and self.share >= self.goal

    def cells(self) -> tuple[str, ...]:
        share = "?" if self.share is None else f"{100 * self.share:.1f} %"
        return (
            self.model,
            f"{self.decode:.1f}",
            f"{self.read / 1e9:.0f}",
            share,
            f"{100 * self.goal:.0f} %{'' if self.reached else ' (missed)'}",
            f"{self.prefill:.0f}",
            f"{self.first_token:.2f}",
        )

    def __str__(self) -> str:
        return ", ".join(f"{name} {cell}" for name, cell in zip(HEADER, self.cells(), strict=True))


def measure(shape: str, kind: str, path: Path, card: str, seconds: float) -> Row:
    """By the engine of `lepton bench`, and by a start of `lepton run`. Raises LeptonError."""
    trials = [Trial(PROMPT, 0, 0), Trial(0, ANSWER, 0)]
    setup = Setup(None, backend="cuda", gpu_layers="all")
    schedule = Schedule([setup], trials, REPEATS)
    prefill, decode = benchmark(path, schedule, lambda text: None)
    return Row(
        shape,
        kind,
        decode.rate,
        bytes_a_second(decode),
        decode.of_limit,
        goal_of(shape, kind, card),
        prefill.rate,
        first_token(path, seconds),
    )


def bytes_a_second(result: Result) -> float:
    return 1e9 * result.bytes_read * len(result.samples_ns) / sum(result.samples_ns)


def goal_of(shape: str, kind: str, card: str) -> float:
    desktop, centre = GOALS[shape, kind]
    return desktop if any(word in card for word in DESKTOP) else centre


def first_token(path: Path, seconds: float) -> float:
    """The better of two starts. Raises CalledProcessError, TimeoutExpired."""
    command = [sys.executable, "-m", "lepton_cli", "run", str(path), *START, "Hello"]
    return min(_start(command, seconds) for _ in range(2))


def _start(command: Sequence[str], seconds: float) -> float:
    begin = time.perf_counter()
    done = run(command, seconds)
    took = time.perf_counter() - begin
    assert done.returncode == 0, f"lepton run ended with code {done.returncode}: {done.stderr}"
    return took


def table(rows: Sequence[Row]) -> str:
    """In markdown, numbers flush right."""
    lines = [HEADER, ("---", *("---:" for _ in HEADER[1:])), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
