"""Folders of the CPU's kernels: one may come with the package, the others are the user's.

Their names contain a digest (see ops.compiled.kernel_folder).
"""

import functools
import hashlib
import platform
import sys
from importlib.util import find_spec
from pathlib import Path

import llvmlite

from ops.compiled.kernel_folder import KernelFolder
from ops.cpu.instruction_sets.rung import Rung

HERE = Path(__file__).parent
PACKAGED = HERE / "compiled"


def packaged_kernels(rung: Rung) -> KernelFolder:
    """Filled when the package was built, whatever compiler is installed here."""
    return KernelFolder(PACKAGED / f"{rung.name}-{_digest(rung)}", code=Path(__file__))


def cached_kernels(root: Path, rung: Rung) -> KernelFolder:
    """The user's folder: another one for each version of the compiler."""
    return KernelFolder(root / f"{rung.name}-{_digest(rung, *_compiler())}")


def sources() -> list[Path]:
    """The source files that kernels are compiled from."""
    ops = HERE.parent
    files = [ops / "interface.py", ops / "state" / "formats.py"]
    files += [HERE / name for name in ("formats.py", "layout.py", "rungs.py")]
    files += [Path(__file__)]
    folders = [HERE / "kernels", HERE / "instruction_sets"]
    folders += [ops / "compiled", ops / "files", ops.parent / "quant"]
    return [*files, *(file for folder in folders for file in sorted(folder.rglob("*.py")))]


@functools.cache
def code_digest() -> str:
    """Of the sources."""
    key = hashlib.sha256()
    for source in sources():
        key.update(source.read_bytes())
    return key.hexdigest()


def _digest(rung: Rung, *more: str) -> str:
    parts = (code_digest(), rung.name, sys.platform, platform.machine(), *more)
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]


def _compiler() -> tuple[str, ...]:
    """The installed versions; Numba's from a folder's name, as importlib.metadata takes 10 ms."""
    numba = find_spec("numba")
    installed = Path(numba.origin).parents[1] if numba and numba.origin else HERE
    return llvmlite.__version__, *sorted(path.name for path in installed.glob("numba-*-info"))
