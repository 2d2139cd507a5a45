"""The folders of the tests: what lies in one is imported by its name alone from any other.

So is what lies in `benchmarks/`, whose scripts import each other in this way.
"""

import sys
from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
FOLDERS = [
    ROOT / "benchmarks",
    TESTS,
    *sorted(path for path in TESTS.rglob("*") if path.is_dir() and any(path.glob("*.py"))),
]


def make_importable() -> None:
    """For this process; packages among them, like `gpu`, are imported as such."""
    known = [str(folder) for folder in FOLDERS if not (folder / "__init__.py").exists()]
    sys.path[:0] = [folder for folder in known if folder not in sys.path]
