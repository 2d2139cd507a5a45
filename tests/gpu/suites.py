"""The test files of operators, run on the card by pytest in a process of its own."""

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = {
    "operators": "tests/cuda/test_cuda_operators.py",
    "products": "tests/cuda/test_cuda_products.py",
    "attention": "tests/cuda/test_cuda_attention.py",
    "large shapes": "tests/gpu/large_shapes.py",
}
TOLD = 8  # failures that are named
LINES = 12  # of what the first of them says, or a run that gave no report


def run_suite(file: str, seconds: float, words: Sequence[str] = ()) -> str:
    """What passed. Raises AssertionError with the first failures."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        done = run([*pytest_command(file, *words), f"--junitxml={report}"], seconds)
        if not report.exists():
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-LINES:])
            raise AssertionError(f"pytest ended with code {done.returncode}\n{tail}")
        return judged(report)


def pytest_command(*words: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]


def run(command: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
    """With the card and the kernels that this process has. Raises TimeoutExpired."""
    variables = os.environ | {"LEPTON_TEST_CACHE": os.environ["XDG_CACHE_HOME"]}
    return subprocess.run(
        command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=seconds
    )


def judged(report: Path) -> str:
    """A JUnit report's result. Raises AssertionError."""
    cases = list(ElementTree.parse(report).iter("testcase"))
    failures = [case for case in cases if _complaint(case) is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    if failures:
        names = ", ".join(str(case.get("name")) for case in failures[:TOLD])
        more = ", ..." if len(failures) > TOLD else ""
        first = "\n".join((_complaint(failures[0]) or "").splitlines()[-LINES:])
        raise AssertionError(f"{len(failures)} of {len(cases)} failed: {names}{more}\n{first}")
    assert len(cases) > skipped, "no test was run"
    return f"{len(cases) - skipped} tests" + (f", {skipped} skipped" if skipped else "")


def _complaint(case: ElementTree.Element) -> str | None:
    for kind in ("failure", "error"):
        found = case.find(kind)
        if found is not None:
            return found.text or kind
    return None
