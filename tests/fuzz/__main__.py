"""Fuzz tests: python -m tests.fuzz [--files N] [--kills N] [--minutes M] [--seed S].

Mutated files of every kind in process, with limits of memory and time; batches and chats that are
killed and continued; the matrix of hashes; a soak of M minutes. Prints a table; exit code 1:
something did not end as promised, and is named with its file.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]
from folders import make_importable  # noqa: E402  # makes imports between tests work as in pytest

make_importable()

from fuzz.report import Table  # noqa: E402
from fuzz.steps import fuzz_files, hash_matrix, kill, soak  # noqa: E402

FILES, KILLS, MINUTES = 100_000, 100, 20.0


def main(words: list[str]) -> int:
    given = _parser().parse_args(words)
    cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    table = Table(sys.stdout)
    with tempfile.TemporaryDirectory(prefix="lepton-fuzz-") as home:
        for name in [name for name in os.environ if name.startswith(("XDG_", "LEPTON_"))]:
            del os.environ[name]
        os.environ |= {"HOME": home, "XDG_CACHE_HOME": cache}  # compiled kernels are shared
        if given.files:
            fuzz_files(table, given.files, given.seed, given.findings, only=given.only)
        if given.kills:
            kill(table, given.kills, given.seed, given.findings)
        if given.hashes:
            hash_matrix(table)
        if given.minutes:
            soak(table, given.minutes)
    return table.end()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m tests.fuzz", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--files", type=int, default=FILES, help="mutated files [%(default)s]")
    parser.add_argument("--kills", type=int, default=KILLS, help="SIGKILLs [%(default)s]")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of soak [%(default)s]")
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn [%(default)s]")
    parser.add_argument("--only", help="only the kind of files whose name has this in it")
    parser.add_argument(
        "--no-hashes", dest="hashes", action="store_false", help="leave out the matrix of hashes"
    )
    parser.add_argument(
        "--findings", type=Path, default=Path("fuzz-findings"), help="folder [%(default)s]"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
