"""Runs commands on mutated files in separate processes, with memory and time limits.

A forked process makes and tries one file after another: the file is drawn from the run's seed, the
kind and its number, so that parent and child make the same, whatever becomes of the child.
"""

import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from fuzz.kinds import Kind, Trial, prepare
from lepton_cli.program import run

SPACE = 3 << 30  # bytes of address space
SECONDS, PATIENCE = 10.0, 600  # of the processor for one file; at all (kernels may be compiled)
MEMORY = 200 << 20  # bytes for one file, beside its own size
DOCUMENTED = range(7)
SIGNS = (b"Traceback", b"a fault in Lepton")


@dataclass(frozen=True, slots=True)
class Finding:
    """A file with a wrong outcome."""

    why: str
    file: Path


@dataclass(frozen=True, slots=True)
class Measure:
    """The cost of one file, and what is wrong."""

    number: int
    codes: Sequence[int]
    seconds: float
    memory: int
    why: str = ""


class Tries:
    """Tries files of one kind; `findings` are written into a folder as they come."""

    def __init__(self, kind: Kind, seed: int, findings: Path) -> None:
        self.findings: list[Finding] = []
        self._kind, self._seed, self._findings = kind, seed, findings

    def run(self, numbers: Sequence[int]) -> Iterator[Measure]:
        waiting = list(numbers)
        while waiting:
            with tempfile.TemporaryDirectory(prefix="lepton-fuzz-") as scratch:
                for measure in self._child(Path(scratch), waiting):
                    waiting.remove(measure.number)
                    if measure.why:
                        found = self._findings / self._name(measure.number)
                        self.findings.append(Finding(measure.why, found))
                    yield measure

    def _child(self, folder: Path, numbers: Sequence[int]) -> Iterator[Measure]:
        """Runs one process; if a file crashes it, that file's measure is the last."""
        ours, theirs = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(ours)
            try:
                self._serve(folder, numbers, theirs)
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
            finally:
                os._exit(1)
        os.close(theirs)
        begun = None
        with open(ours) as lines:
            for line in lines:
                told = json.loads(line)
                if isinstance(told, int):
                    begun = told
                else:
                    yield Measure(**told)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if begun is None:
            raise RuntimeError((folder / "printed").read_text(errors="replace"))
        if status:
            name = signal.Signals(-status).name if status < 0 else f"code {status}"
            why = f"the process ended with {name}"
            self._keep(begun, why, folder)
            yield Measure(begun, (), 0.0, 0, why)

    def _serve(self, folder: Path, numbers: Sequence[int], pipe: int) -> None:
        """Runs in the child; `folder/printed` has the output of the command."""
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        printed = os.open("printed", os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(printed, 1)
        os.dup2(printed, 2)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
        prepare(folder)
        seeds = self._kind.seeds(folder)
        resource.setrlimit(resource.RLIMIT_AS, (SPACE, SPACE))
        for number in numbers:
            os.write(pipe, f"{number}\n".encode())
            signal.setitimer(signal.ITIMER_PROF, 2 * SECONDS)
            signal.alarm(PATIENCE)
            why, codes, seconds, memory = self._try(folder, seeds, number, printed)
            told = {"number": number, "codes": codes, "seconds": seconds, "memory": memory}
            if why:  # written here, as the parent may already be at the next file
                self._keep(number, why, folder)
            os.write(pipe, json.dumps({**told, "why": why}).encode() + b"\n")
        os._exit(0)

    def _try(
        self, folder: Path, seeds: Sequence[bytes], number: int, printed: int
    ) -> tuple[str, list[int], float, int]:
        """What is wrong, exit codes, CPU seconds, peak memory in bytes."""
        random, data = self._random(number, seeds)
        place = self._place(folder)
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        place.unlink(missing_ok=True)
        place.write_bytes(data)
        place.chmod(0o600)
        before, begin = _reset_peak(), time.process_time()
        codes, texts = [], []
        for words in self._kind.commands(random, str(place)):
            os.ftruncate(printed, 0)
            codes.append(run(words))
            sys.stderr.flush()
            texts.append((folder / "printed").read_bytes())
        seconds, memory = time.process_time() - begin, max(0, _peak() - before)
        trial = Trial(folder, data, seeds, codes, texts)
        why = _amiss(trial) or self._kind.judge(trial)
        if not why and seconds > SECONDS:
            why = f"{seconds:.1f} s"
        if not why and memory > MEMORY + len(data):
            why = f"{memory >> 20} MB for {len(data)} bytes"
        return why, codes, seconds, memory

    def _place(self, folder: Path) -> Path:
        return min(folder.glob(self._kind.place), default=folder / self._kind.place)

    def _random(self, number: int, seeds: Sequence[bytes]) -> tuple[Random, bytes]:
        random = Random(f"{self._seed}/{self._kind.name}/{number}")
        data = self._kind.change(random.choice(seeds), seeds, self._kind.tokens, random)
        return random, data

    def _name(self, number: int) -> str:
        kind, ending = re.sub("[^A-Za-z]+", "-", self._kind.name), Path(self._kind.place).suffix
        return f"{kind}-{self._seed}-{number}{ending}"

    def _keep(self, number: int, why: str, scratch: Path) -> None:
        """Stores the file and its last output."""
        self._findings.mkdir(parents=True, exist_ok=True)
        file, place = self._findings / self._name(number), self._place(scratch)
        if place.exists():
            shutil.copyfile(place, file)
        printed = (scratch / "printed").read_bytes()
        file.with_suffix(".txt").write_bytes(f"{why}\n\n".encode() + printed)


def _amiss(trial: Trial) -> str:
    for code, text in zip(trial.codes, trial.printed, strict=True):
        if code not in DOCUMENTED:
            return f"exit code {code}"
        if any(sign in text for sign in SIGNS):
            return next(line for line in text.decode().splitlines() if "fault" in line)[:200]
    return ""


def _reset_peak() -> int:
    """Bytes in use; resets the peak to it (where the system supports that)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    return _peak()


def _peak() -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
