"""The steps of a run; each adds a few lines to the table."""

import os
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from random import Random

from test_same_bytes import PLAIN, Q8, WAYS, in_turn, model_file

from fuzz import soaking
from fuzz.kills import Batch, Chat, killed
from fuzz.kinds import KINDS, Kind
from fuzz.report import Table
from fuzz.sandbox import Finding, Measure, Tries

CHUNK = 100  # files of one process
Chunk = tuple[str, int, range, Path]


def fuzz_files(table: Table, files: int, seed: int, findings: Path, only: str | None) -> None:
    kinds = [kind for kind in KINDS if only is None or only in kind.name]
    whole = sum(kind.share for kind in kinds)
    jobs = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        for kind in kinds:
            count = max(1, files * kind.share // whole)
            chunks = [
                (kind.name, seed, range(begin, min(begin + CHUNK, count)), findings.absolute())
                for begin in range(0, count, CHUNK)
            ]
            _tell(table, kind, list(pool.map(_tried, chunks)))


def _tried(chunk: Chunk) -> tuple[list[Measure], list[Finding]]:
    name, seed, numbers, findings = chunk
    tries = Tries(next(kind for kind in KINDS if kind.name == name), seed, findings)
    return list(tries.run(numbers)), tries.findings


def _tell(table: Table, kind: Kind, chunks: list[tuple[list[Measure], list[Finding]]]) -> None:
    measures = [measure for measures, _ in chunks for measure in measures]
    codes = Counter(code for measure in measures for code in measure.codes)
    told = ", ".join(f"{count} times exit {code}" for code, count in sorted(codes.items()))
    seconds = max(measure.seconds for measure in measures)
    memory = max(measure.memory for measure in measures) >> 20
    cost = f"at most {seconds:.1f} s and {memory} MB"
    found = [f"{each.why}: {each.file}" for _, findings in chunks for each in findings]
    table.row(f"mutated {kind.name}", len(measures), f"{told or 'none loaded'}; {cost}", *found)


def kill(table: Table, kills: int, seed: int, findings: Path) -> None:
    """Half of them batches, half chats."""
    for kind, count in ((Batch, kills - kills // 2), (Chat, kills // 2)):
        with tempfile.TemporaryDirectory(prefix="lepton-kills-") as folder:
            random = Random(f"{seed}/{kind.name}")
            place = Path(folder) / kind.name
            tally, found = killed(kind, count, random, place, findings)
        outcome = f"{tally.ended} {kind.name} continued, compared byte by byte"
        table.row(f"kills of {kind.name}", tally.kills, outcome, *found)


def hash_matrix(table: Table) -> None:
    for weights in ("F32", "Q4_K", "recurrent"):
        for name, options in (("f16", PLAIN), ("q8_0", Q8)):
            with tempfile.TemporaryDirectory(prefix="lepton-hashes-") as folder:
                path = model_file(Path(folder), weights)
                expected = in_turn(path, options)
                found = [way for way, run in WAYS.items() if run(path, options) != expected]
            what = f"hashes of {weights} with a cache in {name}"
            table.row(what, len(WAYS) + 1, "one hash", *(f"{what}: {way}" for way in found))


def soak(table: Table, minutes: float) -> None:
    warm, end = soaking.soak(minutes)
    growth, files = end.memory - warm.memory, end.files - warm.files
    found = [f"{growth >> 20} MB more"] if growth > soaking.MAX_GROWTH else []
    found += [f"{files} open files more"] if files > 0 else []
    outcome = f"{growth / (1 << 20):+.1f} MB and {files:+d} open files since round {warm.rounds}"
    table.row(f"soak of {minutes:g} minutes, rounds", end.rounds, outcome, *found)
