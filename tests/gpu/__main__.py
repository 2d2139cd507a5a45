"""Checks everything on this machine's card: python -m tests.gpu [--quick] [--only PATTERN].

Operators against their definition, whole models against the CPU, compute-sanitizer, the bench
table. Exit code 1: a step failed; 2: there is no card that can be used. With OUT=FOLDER the table
is written there, as gpu.md and gpu.json.
"""

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]
from folders import make_importable  # noqa: E402  # tests import each other as pytest lets them

make_importable()

from gpu.ahead import compile_ahead  # noqa: E402
from gpu.plan import run_all  # noqa: E402
from gpu.report import Report  # noqa: E402
from gpu.steps import Steps  # noqa: E402
from ops.cuda.device.probe import Missing, find_card  # noqa: E402

MOST, MOST_QUICK = 480.0, 180.0  # seconds, after which no step begins


def main(words: list[str]) -> int:
    given = _parser().parse_args(words)
    cache = os.environ.setdefault("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    if given.compile:
        print(compile_ahead(given.compile, Path(cache)))
        return 0
    found = find_card()
    if isinstance(found, Missing):
        print(f"tests.gpu needs a card: {found.reason}: {found.cure}", file=sys.stderr)
        return 2
    os.environ["LEPTON_TEST_CARD"] = "real"
    report, out = Report(found), os.environ.get("OUT")
    folder = Path(out) if out else None

    def keep() -> None:
        report.outcomes = steps.outcomes
        if folder:
            report.write(folder)

    seconds = given.seconds or (MOST_QUICK if given.quick else MOST)
    steps = Steps(sys.stdout, only=given.only, seconds=seconds, on_outcome=keep)
    run_all(steps, report, quick=given.quick)
    print(f"\n{report.markdown()}\n{steps.summary}", flush=True)
    return int(steps.failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m tests.gpu", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="no 8B models, few others")
    parser.add_argument("--only", metavar="PATTERN", help="steps with such names: 'bench*8b*'")
    parser.add_argument("--compile", metavar="SM", help="only compile, for a card elsewhere: sm_90")
    parser.add_argument("--seconds", type=float, help="no step begins later [480; quick: 180]")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
