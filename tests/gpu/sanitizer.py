"""NVIDIA's compute-sanitizer on a few of the operators' tests."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gpu.steps import Skip
from gpu.suites import FILES, pytest_command, run

NAME, PACKAGE = "compute-sanitizer", "nvidia-cuda-sanitizer-api"
FOUND_ERRORS = 86  # the exit code that we ask for
REFUSALS = ("Device not supported", "Unable to find injection library")
TOOLS = {  # what each looks for, and on which tests
    "memcheck": (
        "whole_layer or gated_experts or embed_and_linear or odd_row or any_types",
        "wrong addresses",
    ),
    "racecheck": ("whole_layer or gated_experts or any_types", "races in shared memory"),
    "synccheck": ("whole_layer or gated_experts or any_types", "barriers that some threads miss"),
}
LINES = 15  # of its report that are told


def find_sanitizer(
    variables: Mapping[str, str] = os.environ, packages: Sequence[str] = sys.path
) -> Path | None:
    """On the PATH, in a toolkit, or in its wheel."""
    on_path = shutil.which(NAME, path=variables.get("PATH", ""))
    if on_path:
        return Path(on_path)
    return next((place for place in _places(variables, packages) if place.is_file()), None)


def _places(variables: Mapping[str, str], packages: Sequence[str]) -> Iterator[Path]:
    for toolkit in (variables.get("CUDA_HOME"), "/usr/local/cuda"):
        if toolkit:
            yield Path(toolkit) / "bin" / NAME
            yield Path(toolkit) / NAME / NAME
    for folder in packages:
        yield from sorted(Path(folder).glob(f"nvidia/cu*/{NAME}/{NAME}"))


def sanitize(tool: str, seconds: float) -> str:
    """Raises Skip where it cannot run, AssertionError with what it found."""
    program = find_sanitizer()
    if program is None:
        raise Skip(f"{NAME} is not installed: pip install {PACKAGE}")
    chosen, sought = TOOLS[tool]
    command = [str(program), "--tool", tool, "--error-exitcode", str(FOUND_ERRORS)]
    tests = pytest_command(FILES["operators"], FILES["attention"], "-k", chosen)
    try:
        done = run([*command, *tests], seconds)
    except subprocess.TimeoutExpired as error:
        raise Skip(f"it was not done after {seconds:.0f} s") from error
    return judged(done.returncode, done.stdout + done.stderr, sought)


def judged(code: int, output: str, sought: str) -> str:
    """What a run's end means."""
    if any(words in output for words in REFUSALS):
        raise Skip(f"{NAME} cannot run here: {next(w for w in REFUSALS if w in output)}")
    if code:
        told = [line for line in output.splitlines() if line.startswith("=========")]
        tail = (told or output.splitlines())[:LINES]
        raise AssertionError(f"code {code}\n" + "\n".join(tail))
    return f"no {sought}"
