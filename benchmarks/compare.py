"""Compares Lepton and llama.cpp on the same files in alternating runs, under the same noise.

    python benchmarks/compare.py MODEL.gguf... --python ~/llama/bin/python -t 2 -d 0,4096
    python benchmarks/compare.py MODEL.gguf... --llama-bench ~/llama.cpp/build/bin/llama-bench

llama.cpp is either the llama-cpp-python package of an interpreter (--python; `pip install
'lepton-cli[compare]'` puts it beside Lepton), which keeps a model loaded, or a llama-bench, which
loads it for every sample. `shapes.py` makes files to compare on.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from peer import (
    LLAMACPP,
    UBATCH,
    Build,
    LlamaBench,
    LlamaProcess,
    PeerError,
    alone,
    build_of,
    build_of_bench,
)

from lepton_cli.engine.measure.benchmark import Bench, Setup
from lepton_cli.engine.measure.workload import Trial
from ops.machine import cpu_name, default_threads
from quant.gguf import GGUF

ROOT = Path(__file__).parents[1]
CONTEXT = 4096
QUIET, PATIENCE = 0.04, 240  # share of the CPUs that others may take; quarters of a second to wait
PROMPT = "The quick brown fox jumps over the lazy dog, and then it"
MEASURE = """
import json, os, subprocess, sys, time
begin = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
seconds = time.perf_counter() - begin
peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({"seconds": seconds, "bytes": peak, "code": os.waitstatus_to_exitcode(status)}))
"""  # a small process, because a child's peak memory includes its parent's at the fork
SETTINGS = f"n_ubatch {UBATCH}, KV cache f16, llama.cpp: flash attention auto, weights repacked"


@dataclass(frozen=True, slots=True)
class Row:
    """The results of both in each round; the ratios say how many times better Lepton is."""

    model: str
    test: str
    unit: str
    llamacpp: list[float]
    lepton: list[float]

    @property
    def ratios(self) -> list[float]:
        """Of each round; times and bytes are better when they are smaller."""
        pairs = zip(self.lepton, self.llamacpp, strict=True)
        if self.unit == "t/s":
            return [ours / theirs for ours, theirs in pairs]
        return [theirs / ours for ours, theirs in pairs]


class Side(Protocol):
    """One of the two programs with a model loaded."""

    def seconds(self, trial: Trial) -> float: ...  # raises PeerError


class Lepton:
    """Runs in this process."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def seconds(self, trial: Trial) -> float:
        return self._bench.sample(trial) / 1e9


def speeds(model: Path, given: argparse.Namespace) -> Iterator[Row]:
    """One row per test. Both sides run it once before they are timed."""
    trials = list(_trials(given))
    if not trials:
        return
    with _sides(model, given, trials) as (llamacpp, lepton):
        for trial in trials:
            for side in (llamacpp, lepton):
                side.seconds(replace(trial, generated=min(trial.generated, 1)))
            row = Row(model.name, trial.name, "t/s", [], [])
            for number in range(given.rounds):
                _tell(f"{model.name}: {trial.name}, round {number + 1} of {given.rounds}")
                wait_for_quiet()
                row.llamacpp.append(trial.tokens / llamacpp.seconds(trial))
                row.lepton.append(trial.tokens / lepton.seconds(trial))
            yield row


@contextmanager
def _sides(
    model: Path, given: argparse.Namespace, trials: Sequence[Trial]
) -> Iterator[tuple[Side, Side]]:
    context = max(trial.depth + trial.tokens for trial in trials)
    setup = Setup(given.threads, UBATCH)
    with ExitStack() as stack:
        bench = stack.enter_context(closing(Bench(GGUF.open(model), setup, context, _tell)))
        if given.llama_bench:
            other: Side = LlamaBench(given.llama_bench, model, given.threads)
        else:
            server = LlamaProcess(given.python, "serve", model, given.threads, context)
            other = stack.enter_context(server)
        yield other, Lepton(bench)


def _trials(given: argparse.Namespace) -> Iterator[Trial]:
    for depth in given.depths:
        if given.prompt:
            yield Trial(given.prompt, 0, depth)
        if given.generate:
            yield Trial(0, given.generate, depth)


def starts(model: Path, given: argparse.Namespace) -> list[Row]:
    """Whole processes until the first token: seconds and peak memory."""
    times = Row(model.name, "start to first token", "s", [], [])
    memory = Row(model.name, "peak memory", "MB", [], [])
    for number in range(-1, given.rounds):  # the first round warms the file and the kernels
        _tell(f"{model.name}: start, round {number + 1} of {given.rounds}")
        wait_for_quiet()
        theirs, ours = _llamacpp_start(model, given), _lepton_start(model, given)
        if number >= 0:
            for row, index in ((times, 0), (memory, 1)):
                row.llamacpp.append(theirs[index])
                row.lepton.append(ours[index])
    return [times, memory]


def _llamacpp_start(model: Path, given: argparse.Namespace) -> tuple[float, float]:
    words = ["--threads", str(given.threads), "--context", str(CONTEXT), "--prompt", PROMPT]
    said = alone(given.python, str(LLAMACPP), "first", str(model), *words)
    return said["seconds"], said["bytes"] / 1e6


def _lepton_start(model: Path, given: argparse.Namespace) -> tuple[float, float]:
    words = ["run", str(model), "-c", str(CONTEXT), "-t", str(given.threads), "-n", "1"]
    lepton = [sys.executable, "-m", "lepton_cli", *words, "--temp", "0", "--raw", "-p", PROMPT]
    whole = [sys.executable, "-I", "-c", MEASURE, *lepton]
    done = subprocess.run(whole, stdout=subprocess.PIPE, env=_environment(), check=True)
    said = json.loads(done.stdout)
    if said["code"]:
        raise SystemExit(f"lepton run ended with {said['code']} on {model}")
    return said["seconds"], said["bytes"] / 1e6


def _environment() -> dict[str, str]:
    """Without Lepton's settings."""
    return os.environ | {"PYTHONPATH": str(ROOT), "LEPTON_CONFIG": os.devnull}


def wait_for_quiet() -> None:
    """Waits until the CPUs are idle, since spinning threads suffer most from other processes.

    Both sides sleep meanwhile. Gives up after a while, and where the system tells nothing.
    """
    for _ in range(PATIENCE):
        before = _ticks()
        time.sleep(0.25)
        busy, total = (after - earlier for after, earlier in zip(_ticks(), before, strict=True))
        if busy <= QUIET * total:
            return
    print("other processes kept the CPUs busy", file=sys.stderr)


def _ticks() -> tuple[int, int]:
    """The busy time and the total time of all CPUs since boot."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0, 0
    numbers = [int(word) for word in stat.read_text().splitlines()[0].split()[1:9]]
    return sum(numbers) - numbers[3] - numbers[4], sum(numbers)  # idle, waiting for a disk


def _tell(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[2K{text}", end="", file=sys.stderr, flush=True)


def print_row(row: Row) -> None:
    _tell("")
    theirs, ours = statistics.median(row.llamacpp), statistics.median(row.lepton)
    digits = 0 if row.unit == "MB" else 2
    cells = [f"{value:.{digits}f} {row.unit}" for value in (theirs, ours)]
    ratios = row.ratios
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    cells = [row.model, row.test, *cells, f"{statistics.median(ratios):.2f}x", spread]
    print(f"| {' | '.join(cells)} |", flush=True)


def print_failure(model: Path, test: str, error: PeerError) -> None:
    """A row without a ratio."""
    _tell("")
    print(f"| {model.name} | {test} | {error} | | no ratio | |", flush=True)


def as_record(rows: Sequence[Row], given: argparse.Namespace, build: Build) -> dict[str, Any]:
    return {
        "cpu": cpu_name(),
        "system": platform.platform(),
        "threads": given.threads,
        "settings": SETTINGS,
        "peer": str(build),
        "rows": [asdict(row) | {"ratio": statistics.median(row.ratios)} for row in rows],
    }


def compare(given: argparse.Namespace) -> tuple[list[Row], bool]:
    """The rows, printed as they come, and whether llama.cpp failed at one of them.

    Where it fails, the rest of that model's tests of this kind have no ratio.
    """
    rows, failed = list[Row](), False
    measures = [("speed", speeds)] + ([] if given.no_start else [("start", starts)])
    for model in given.models:
        for name, measure in measures:
            try:
                for row in measure(model, given):
                    rows.append(row)
                    print_row(row)
            except PeerError as error:
                print_failure(model, name, error)
                failed = True
    return rows, failed


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL")
    parser.add_argument("--python", default=sys.executable, help="that has llama-cpp-python")
    parser.add_argument("--llama-bench", metavar="PATH", help="instead, for all but the starts")
    parser.add_argument("-t", "--threads", type=int, default=default_threads().count)
    parser.add_argument("-p", "--prompt", type=int, default=512)
    parser.add_argument("-n", "--generate", type=int, default=32)
    parser.add_argument("-d", "--depths", type=_numbers, default=[0], metavar="N,...")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-start", action="store_true", help="leave the starts out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="and all samples into FILE")
    given = parser.parse_args(words)
    try:
        build = _build(given)
    except PeerError as error:
        raise SystemExit(f"{error}; --python names an interpreter that has it") from error
    print(f"{cpu_name()}, {given.threads} threads, {given.rounds} rounds in turn; {SETTINGS}")
    print(f"{build}\n")
    print("| model | test | llama.cpp | Lepton | ratio | of the rounds |")
    print("|---|---|---:|---:|---:|---|")
    rows, failed = compare(given)
    if given.json:
        given.json.write_text(json.dumps(as_record(rows, given, build), indent=2) + "\n")
    if failed:
        raise SystemExit(1)


def _build(given: argparse.Namespace) -> Build:
    """Raises PeerError."""
    if given.llama_bench:
        return build_of_bench(given.llama_bench, given.models[0])
    return build_of(given.python)


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


if __name__ == "__main__":
    main(sys.argv[1:])
