"""What Lepton finds on this machine, what it makes of it, and why."""

import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import llvmlite.binding as llvm

from lepton_cli.engine.paths import cache_folder, config_folder, state_folder
from lepton_cli.engine.stores import hugging_face_folder, llama_cpp_folder, ollama_folders
from lepton_cli.version import __version__
from ops.cpu.machine import available_memory, cpu_name, default_threads
from ops.cpu.objects import digest

LIBRARIES = ("numpy", "numba", "llvmlite", "tokenizers", "sentencepiece")


@dataclass(frozen=True, slots=True)
class Finding:
    subject: str
    value: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.value} ({self.reason})" if self.reason else self.value


def findings() -> Iterator[Finding]:
    threads, memory = default_threads(), available_memory()
    yield Finding("lepton", __version__, str(Path(__file__).parents[2]))
    yield Finding("python", platform.python_version(), sys.executable)
    yield Finding("system", f"{platform.system()} {platform.machine()}", platform.release())
    yield Finding("libraries", ", ".join(f"{name} {_version(name)}" for name in LIBRARIES))
    yield Finding("processor", cpu_name())
    yield Finding("threads", str(threads.count), threads.reason)
    yield Finding("memory", f"{memory.bytes / 1e9:.1f} GB", memory.reason)
    yield Finding("backend", "cpu", "there is no GPU backend yet")
    yield kernels()
    yield _place("settings", config_folder())
    yield _place("history", state_folder())
    yield _place("llama.cpp's models", llama_cpp_folder())
    yield _place("Hugging Face's models", hugging_face_folder())
    for folder in ollama_folders():
        yield _place("ollama's models", folder)


def kernels() -> Finding:
    """The rung says for which instructions the kernels are compiled."""
    rung = f"for {llvm.get_host_cpu_name()}, vectorized by LLVM"
    folder = cache_folder() / "kernels" / digest()
    stored = list(folder.glob("*.kernel"))
    if not stored:
        return Finding("kernels", rung, f"none is compiled yet: the first run does, into {folder}")
    total = sum(kernel.stat().st_size for kernel in stored)
    return Finding("kernels", rung, f"{len(stored)} compiled, {total / 1e3:.0f} kB in {folder}")


def _place(subject: str, path: Path) -> Finding:
    return Finding(subject, str(path), "" if path.exists() else "not there")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(missing)"
