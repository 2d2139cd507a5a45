"""The findings of `lepton doctor`: what Lepton uses of this machine, and why."""

import platform
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lepton_cli.engine.library.paths import config_folder, kernel_folder, state_folder
from lepton_cli.engine.library.stores import hugging_face_folder, llama_cpp_folder, ollama_folders
from lepton_cli.version import __version__
from ops.backend import Card, Missing, card_findings, cpu_findings, find_card
from ops.findings import Finding
from ops.machine import available_memory, cpu_name, default_threads

LIBRARIES = ("numpy", "numba", "llvmlite", "regex", "sentencepiece")


def findings(probe: Callable[[], Card | Missing] = find_card) -> Iterator[Finding]:
    threads, memory = default_threads(), available_memory()
    yield Finding("lepton", __version__, str(Path(__file__).parents[3]))
    yield Finding("python", platform.python_version(), sys.executable)
    yield Finding("system", f"{platform.system()} {platform.machine()}", platform.release())
    yield Finding("libraries", ", ".join(f"{name} {_version(name)}" for name in LIBRARIES))
    yield Finding("processor", cpu_name())
    yield Finding("threads", str(threads.count), threads.reason)
    yield Finding("memory", f"{memory.bytes / 1e9:.1f} GB", memory.reason)
    yield from card_findings(probe())
    yield from kernel_findings()
    yield _place("settings", config_folder())
    yield _place("history", state_folder())
    yield _place("llama.cpp's models", llama_cpp_folder())
    yield _place("Hugging Face's models", hugging_face_folder())
    for folder in ollama_folders():
        yield _place("ollama's models", folder)


def kernel_findings() -> tuple[Finding, ...]:
    """The instruction set of the kernels, and the folder of the compiled ones."""
    return cpu_findings(kernel_folder())


def _place(subject: str, path: Path) -> Finding:
    return Finding(subject, str(path), "" if path.exists() else "does not exist")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(missing)"
