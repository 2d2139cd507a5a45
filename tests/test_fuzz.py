"""The weekly attack (`python -m tests.fuzz`) works: a short one finds nothing, a fault is found."""

import os
import re
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from fuzz.mutation import mutated

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks, and limits of POSIX")

FAULTY = """
import os, sys, time
sys.path[:0] = ["tests", "."]
from folders import make_importable
make_importable()
from dataclasses import replace
from fuzz import sandbox
from fuzz.kinds import KINDS
from pathlib import Path
rows = next(kind for kind in KINDS if kind.name == "rows as CSV")
ways = {
    "judged": replace(rows, judge=lambda trial: "amiss"),
    "killed": replace(rows, commands=lambda random, file: os.abort()),
    "code": replace(rows, commands=lambda random, file: [["run", "--no-such-flag"]]),
}
for name, kind in ways.items():
    sandbox.DOCUMENTED = [0] if name == "code" else range(7)
    tries = sandbox.Tries(kind, 1, Path(sys.argv[1]))
    count = len(list(tries.run(range(2))))
    print(name, count, *(f"{each.why}: {each.file.name}" for each in tries.findings), sep="; ")
"""


def python(*words: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)


def test_the_same_seed_gives_the_same_damage():
    seed = b"some bytes that are damaged" * 9
    drawn = [mutated(seed, [seed], [b"{"], Random(f"1/{n}")) for n in range(50)]
    assert drawn == [mutated(seed, [seed], [b"{"], Random(f"1/{n}")) for n in range(50)]
    assert len(set(drawn)) > 40


def test_a_short_attack_finds_nothing(tmp_path):
    words = ["--files", "30", "--kills", "0", "--minutes", "0", "--no-hashes", "--seed", "7"]
    done = python("-m", "tests.fuzz", *words, "--findings", str(tmp_path / "findings"))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    tried = re.findall(r"^\| (\w.*?) \| +(\d+) \|", done.stdout, re.M)
    assert len(tried) == 15 and sum(int(count) for _, count in tried) > 25
    assert not (tmp_path / "findings").exists()


def test_a_file_that_ends_otherwise_is_kept_and_named(tmp_path):
    done = python("-c", FAULTY, str(tmp_path))
    files = [f"rows-as-CSV-1-{n}.csv" for n in range(2)]
    said = {"judged": "amiss", "killed": "the process ended with SIGABRT", "code": "exit code 2"}
    lines = ["; ".join([name, "2", *(f"{why}: {f}" for f in files)]) for name, why in said.items()]
    assert done.stdout.splitlines() == lines, done.stderr
    assert all((tmp_path / file).exists() for file in files)
