"""What Lepton finds on this machine, what it makes of it, and why."""

import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lepton_cli.engine.model import kernel_folder
from lepton_cli.engine.paths import config_folder, state_folder
from lepton_cli.engine.stores import hugging_face_folder, llama_cpp_folder, ollama_folders
from lepton_cli.version import __version__
from ops.cpu.objects import ObjectStore, host_features
from ops.cpu.rungs import VARIABLE, choose_rung, ladder, reached
from ops.cpu.shelves import cache_shelf, packaged_shelf
from ops.cuda.probe import Card, Missing, cuda_version, find_card
from ops.machine import available_memory, cpu_name, default_threads
from quant.errors import UsageError

LIBRARIES = ("numpy", "numba", "llvmlite", "regex", "sentencepiece")


@dataclass(frozen=True, slots=True)
class Finding:
    subject: str
    value: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.value} ({self.reason})" if self.reason else self.value


def findings(probe: Callable[[], Card | Missing] = find_card) -> Iterator[Finding]:
    threads, memory = default_threads(), available_memory()
    yield Finding("lepton", __version__, str(Path(__file__).parents[2]))
    yield Finding("python", platform.python_version(), sys.executable)
    yield Finding("system", f"{platform.system()} {platform.machine()}", platform.release())
    yield Finding("libraries", ", ".join(f"{name} {_version(name)}" for name in LIBRARIES))
    yield Finding("processor", cpu_name())
    yield Finding("threads", str(threads.count), threads.reason)
    yield Finding("memory", f"{memory.bytes / 1e9:.1f} GB", memory.reason)
    yield from gpu(probe())
    yield instructions()
    yield kernels()
    yield _place("settings", config_folder())
    yield _place("history", state_folder())
    yield _place("llama.cpp's models", llama_cpp_folder())
    yield _place("Hugging Face's models", hugging_face_folder())
    for folder in ollama_folders():
        yield _place("ollama's models", folder)


def gpu(found: Card | Missing) -> Iterator[Finding]:
    """The card and the backend that is used because of it, or why there is none."""
    if isinstance(found, Missing):
        yield Finding("backend", "cpu", "there is no GPU that can be used")
        yield Finding("GPU", "none", f"{found.reason}: {found.cure}")
        return
    yield Finding("backend", "cuda", "for the layers that fit on the GPU; -ngl 0 uses the CPU")
    driver = f"driver {cuda_version(found.driver)}"
    about = f"compute {found.compute}, {driver}, {found.total / 1e9:.1f} GB"
    yield Finding("GPU", found.name, about)


def instructions() -> Finding:
    """Which of the rungs kernels are compiled for, and why."""
    features = host_features()
    try:
        rung = choose_rung(features, os.environ)
    except UsageError as error:
        return Finding("instructions", "none", f"{error.message}: {error.hint}")
    names = ", ".join(lower.name for lower in reached(features, ladder()))
    why = f"{VARIABLE} asks for it" if os.environ.get(VARIABLE) else "the best of this CPU's"
    return Finding("instructions", rung.name, f"{why}: {names}")


def kernels() -> Finding:
    """What is compiled for these instructions: with the package, or since then."""
    try:
        rung = choose_rung(host_features(), os.environ)
    except UsageError:
        return Finding("kernels", "none", "there are no instructions to compile them for")
    root = kernel_folder()
    shelves = [packaged_shelf(rung), cache_shelf(root, rung)]
    stored = [(shelf.folder, sizes) for shelf in shelves if (sizes := shelf.sizes())]
    lost = ObjectStore(root, lambda compiling: None).lost()
    told = [f"{lost.message}; {lost.hint}"] if lost else []
    if not stored:
        where = f"each time: {told[0]}" if told else f"into {shelves[-1].folder}"
        return Finding("kernels", "none is compiled yet", f"a run compiles what it needs, {where}")
    places = [f"{sum(sizes.values()) / 1e3:.0f} kB in {folder}" for folder, sizes in stored]
    names = {name for _, sizes in stored for name in sizes}
    return Finding("kernels", f"{len(names)} compiled", ", ".join([*places, *told]))


def _place(subject: str, path: Path) -> Finding:
    return Finding(subject, str(path), "" if path.exists() else "not there")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(missing)"
