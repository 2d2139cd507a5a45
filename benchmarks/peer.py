"""llama.cpp as the other side of a comparison: its processes, how it was built, how it failed."""

import json
import signal
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from lepton_cli.engine.measure.workload import Trial
from ops.cpu.processor import host_features

LLAMACPP = Path(__file__).with_name("llamacpp.py")
UBATCH = 512
INSTRUCTIONS = {  # that llama.cpp uses if it was built for them: LLVM's name and its own
    "avx2": "AVX2",
    "fma": "FMA",
    "f16c": "F16C",
    "avxvnni": "AVX_VNNI",
    "avx512f": "AVX512",
    "avx512vbmi": "AVX512_VBMI",
    "avx512vnni": "AVX512_VNNI",
    "avx512bf16": "AVX512_BF16",
    "amx-int8": "AMX_INT8",
    "neon": "NEON",
    "dotprod": "DOTPROD",
    "i8mm": "MATMUL_INT8",
}


class PeerError(Exception):
    """llama.cpp ended without an answer; the text says how."""


def ending(code: int) -> str:
    """What an exit status says: a signal's name, or the number."""
    if code < 0:
        return f"llama.cpp was ended by {signal.Signals(-code).name}"
    return f"llama.cpp ended with exit code {code}"


@dataclass(frozen=True, slots=True)
class Build:
    """Which llama.cpp this is, and which instructions it was built for, by its own names."""

    name: str
    instructions: tuple[str, ...] | None  # None where it does not tell

    def lacks(self, features: Collection[str]) -> list[str]:
        """The instructions of a CPU (LLVM's names) that it was built without."""
        if self.instructions is None:
            return []
        usable = [name for feature, name in INSTRUCTIONS.items() if feature in features]
        return [name for name in usable if name not in self.instructions]

    def __str__(self) -> str:
        if self.instructions is None:
            return f"{self.name}; it does not tell what it was built for"
        text = f"{self.name}, built for {', '.join(self.instructions) or 'no special instructions'}"
        lacking = self.lacks(host_features())
        return f"{text}; WITHOUT this CPU's {', '.join(lacking)}" if lacking else text


def build_of(python: str) -> Build:
    """Of an interpreter's llama-cpp-python. Raises PeerError."""
    said = alone(python, str(LLAMACPP), "build")
    return Build(f"llama-cpp-python {said['version']}", enabled(said["system"]))


def enabled(system: str) -> tuple[str, ...]:
    """The features in llama.cpp's text "CPU : AVX = 1 | AVX2 = 0 | ..."."""
    pairs = (entry.split(":")[-1].split("=") for entry in system.split("|") if "=" in entry)
    return tuple(name.strip() for name, value in pairs if value.strip() == "1")


def build_of_bench(program: str, model: Path) -> Build:
    """Of a llama-bench, which says its commit with each result. Raises PeerError."""
    said = _bench_record([program, "-m", str(model), "-p", "1", "-n", "0", "-r", "1", "-o", "json"])
    return Build(f"llama-bench {said['build_number']} ({said['build_commit']})", None)


def alone(*words: str) -> dict[str, Any]:
    """The JSON output of a process of its own. Raises PeerError."""
    done = subprocess.run(words, stdout=subprocess.PIPE)
    if done.returncode:
        raise PeerError(ending(done.returncode))
    said: dict[str, Any] = json.loads(done.stdout)
    return said


class LlamaProcess:
    """A process that keeps a model loaded and answers each line of JSON with one."""

    def __init__(
        self, python: str, command: str, model: Path, threads: int, context: int, *more: str
    ) -> None:
        words = ["--threads", str(threads), "--ubatch", str(UBATCH), "--context", str(context)]
        self._process = subprocess.Popen(
            [python, str(LLAMACPP), command, str(model), *words, *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.communicate()
        except BrokenPipeError:  # it has ended; `ask` has said how
            self._process.wait()

    def ask(self, **wanted: int) -> float:
        """Seconds. Raises PeerError."""
        return float(self.answer(wanted)["seconds"])

    def answer(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Raises PeerError."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(wanted) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise PeerError(ending(self._process.wait())) from None
        answer = self._process.stdout.readline()
        if not answer:
            raise PeerError(ending(self._process.wait()))
        found: dict[str, Any] = json.loads(answer)
        return found

    def seconds(self, trial: Trial) -> float:
        """Of one test, by the command `serve`. Raises PeerError."""
        return self.ask(n_prompt=trial.prompt, n_gen=trial.generated, n_depth=trial.depth)


class LlamaBench:
    """A llama-bench that runs one test once."""

    def __init__(self, program: str, model: Path, threads: int) -> None:
        fixed = ["-t", str(threads), "-ub", str(UBATCH), "-r", "1", "-o", "json"]
        self._words = [program, "-m", str(model), *fixed]

    def seconds(self, trial: Trial) -> float:
        """Raises PeerError."""
        test = ["-p", str(trial.prompt), "-n", str(trial.generated), "-d", str(trial.depth)]
        return float(_bench_record([*self._words, *test])["avg_ns"]) / 1e9


def _bench_record(words: Sequence[str]) -> dict[str, Any]:
    done = subprocess.run(words, stdout=subprocess.PIPE)
    if done.returncode:
        raise PeerError(ending(done.returncode))
    said: list[dict[str, Any]] = json.loads(done.stdout)
    return said[0]
