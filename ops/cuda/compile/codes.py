"""Machine code of kernels: read from the cache folder, or compiled once for this card."""

import hashlib
import time
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

from ops.compiled.compiling import Worker, compile_kernels
from ops.compiled.kernel_folder import Compiling, KernelFolder, tidy, unpack
from ops.cuda.device.device import Code

HERE = Path(__file__).parents[1]  # ops/cuda
COMPILERS = (
    *("numba-cuda", "numba", "llvmlite"),
    *("nvidia-nvvm", "nvidia-nvjitlink"),  # of CUDA 13
    *("nvidia-cuda-nvcc-cu12", "nvidia-nvjitlink-cu12"),
)


class Loader(Protocol):
    """What compiled kernels are loaded into."""

    @property
    def capability(self) -> tuple[int, int]: ...
    def load(self, name: str, code: Code) -> None: ...


class NoLoader:
    """Compiles for a card of this capability without loading anything."""

    def __init__(self, capability: tuple[int, int]) -> None:
        self.capability = capability

    def load(self, name: str, code: Code) -> None: ...


class CodeStore:
    """Loads kernels into a card by name, and compiles missing ones."""

    def __init__(
        self,
        device: Loader,
        folder: Path,
        processes: int,
        on_compile: Callable[[Compiling], None],
    ) -> None:
        """`folder` is for compiled kernels."""
        self._device, self._processes, self._on_compile = device, processes, on_compile
        self._target = "sm_{}{}".format(*device.capability)
        self._kernels = card_kernels(folder, self._target)
        tidy(self._kernels.folder, time.time())

    def prepare(self, names: Iterable[str]) -> None:
        """Loads these kernels; missing ones are compiled, in parallel. Raises LeptonError."""
        missing = [name for name in dict.fromkeys(names) if not self._find(name)]
        if not missing:
            return
        lost, ignored = self._kernels.probe(), self._kernels.ignored
        self._on_compile(Compiling(0, len(missing), lost=lost, ignored=ignored))
        worker = Worker("ops.cuda.compile.worker", (self._target,))
        for done, (name, packed) in enumerate(
            compile_kernels(missing, worker, self._processes), start=1
        ):
            lost = self._kernels.write(name, packed)
            self._load(name, *unpack(packed))
            self._on_compile(Compiling(done, len(missing), name, lost))

    def _find(self, name: str) -> bool:
        code = self._kernels.read(name)
        if code:
            self._load(name, *code)
        return code is not None

    def _load(self, name: str, binary: bytes, label: str) -> None:
        entry, _, signature = label.partition(" ")
        self._device.load(name, Code(binary, entry, signature))


def card_kernels(root: Path, target: str) -> KernelFolder:
    """The cache folder for the present versions of the sources and of the compiler."""
    key = hashlib.sha256(" ".join((target, *map(_installed, COMPILERS))).encode())
    for source in sources():
        key.update(source.read_bytes())
    return KernelFolder(root / f"{target}-{key.hexdigest()[:16]}")


def sources() -> list[Path]:
    """All files that a kernel's machine code depends on."""
    ops = HERE.parent
    files = [ops / "interface.py", ops / "state" / "formats.py"]
    files += [HERE / "cache.py", HERE / "device" / "device.py"]
    own, shared = (HERE / "kernels", HERE / "compile"), (ops / "compiled", ops / "files")
    folders = *own, *shared, ops.parent / "quant"
    return [*files, *(file for folder in folders for file in sorted(folder.rglob("*.py")))]


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
