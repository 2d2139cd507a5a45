"""Measures a model's speed, and the machine's limits before and after each test."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path

import numpy as np

from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.loading import plan as loading
from lepton_cli.engine.loading.backends import Backend
from lepton_cli.engine.loading.inspection import shares
from lepton_cli.engine.loading.placement import GpuLayers
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.measure.workload import Pass, Trial, Workload
from lepton_cli.engine.model import Model
from lepton_cli.version import __version__
from ops.backend import CacheTypes
from ops.compiled.kernel_folder import Compiling
from ops.limits import MachineLimits
from ops.machine import cpu_name
from ops.operations.base import Cost
from ops.profile import OperatorTotal, by_operator
from ops.state.layout import StateLayout
from quant.errors import ContextOverflowError, UsageError
from quant.gguf import GGUF

SEED = 1  # of the random tokens: only their reproducibility matters


@dataclass(frozen=True, slots=True)
class Setup:
    """The load options of a series of trials. `threads` None: what the machine allows."""

    threads: int | None
    ubatch: int = 512
    kv: CacheTypes = ("f16", "f16")  # of keys, and of values
    backend: Backend = "auto"
    gpu_layers: GpuLayers = "auto"

    def options(self, context: int) -> LoadOptions:
        """Raises UsageError."""
        return LoadOptions(
            self.backend,
            self.threads,
            context,
            self.kv,
            self.ubatch,
            gpu_layers=self.gpu_layers,
        )


@dataclass(frozen=True, slots=True)
class Schedule:
    """What to measure: every trial in every setup, each `repetitions` times."""

    setups: Sequence[Setup]
    trials: Sequence[Trial]
    repetitions: int = 5
    warm_up: bool = True
    profile: bool = False

    def __post_init__(self) -> None:
        """Raises UsageError."""
        if not self.trials:
            raise UsageError("there is nothing to measure", "give -p, -n or -pg a positive number")
        if self.repetitions < 1:
            raise UsageError(f"{self.repetitions} repetitions", "give -r a positive number")


@dataclass(frozen=True, slots=True)
class Facts:
    """Program, machine and file of a result; sizes in bytes."""

    build: str
    cpu: str
    path: str
    model: str
    size: int
    parameter_count: int


@dataclass(frozen=True, slots=True)
class Subject:
    """The model that is measured, and the workload of its passes."""

    facts: Facts
    work: Workload


@dataclass(frozen=True, slots=True)
class Profile:
    """The operator times of one pass, the slowest kind first."""

    name: str
    operators: tuple[OperatorTotal, ...]

    @property
    def seconds(self) -> float:
        return sum(total.seconds for total in self.operators)


@dataclass(frozen=True, slots=True)
class Result:
    """A trial's samples, its total work, and the limits measured beside it.

    `of_limit` is None if the limits were not measured.
    """

    facts: Facts
    setup: Setup
    trial: Trial
    begun: datetime
    samples_ns: tuple[int, ...]
    limits: MachineLimits | None
    bytes_read: int
    macs: int
    limit_seconds: float | None
    profiles: tuple[Profile, ...] = ()
    arithmetic: str = ""  # the instructions that ran, as x86_64.avx512
    gpu: str = ""  # the card's name
    no_gpu: str | None = None  # why no card is used, if it should be shown

    @property
    def samples(self) -> list[float]:
        """Tokens per second."""
        return [1e9 * self.trial.tokens / sample for sample in self.samples_ns]

    @property
    def rate(self) -> float:
        return statistics.fmean(self.samples)

    @property
    def of_limit(self) -> float | None:
        """The share of the roofline limit that was reached; 1 is the limit itself."""
        if self.limit_seconds is None:
            return None
        return 1e9 * self.limit_seconds / statistics.fmean(self.samples_ns)


def deviation(samples: Sequence[float]) -> float:
    """The standard deviation; 0 for a single sample, as in llama-bench."""
    return statistics.stdev(samples) if len(samples) > 1 else 0.0


def benchmark(path: Path, schedule: Schedule, progress: Callable[[str], None]) -> Iterator[Result]:
    """Yields a result per setup and trial; loads the model once per setup. Raises LeptonError.

    Impossible tests are refused before anything is loaded.
    """
    file = GGUF.open(path)
    context = max(trial.depth + trial.tokens for trial in schedule.trials)
    for setup in schedule.setups:
        setup.options(context)
    trained = loading.trained_context(file)
    if context > trained:
        message = f"a test needs {counted(context, 'token')}, the model's context holds {trained}"
        raise ContextOverflowError(message, "use smaller -p, -n or -d")
    facts = describe(file)
    if loading.build(file, context).encoder is not None:
        _check_encoded(schedule.trials)
        context += 2  # the start token, and a prompt of one token where a test has none
    for setup in schedule.setups:
        progress(f"loading {facts.model}")
        work = workload(file, context, setup.kv)
        with closing(Bench(file, setup, context, progress)) as bench:
            for trial in schedule.trials:
                yield _measure(bench, trial, schedule, Subject(facts, work))


def _check_encoded(trials: Sequence[Trial]) -> None:
    """Raises UsageError."""
    for trial in trials:
        if trial.prompt and trial.depth:
            message = f"{trial.name}: an encoder reads prompts at once, and nothing before them"
            raise UsageError(message, "leave out -d, or -p and -pg: -d N -p 0 -n 128")


def _measure(bench: "Bench", trial: Trial, schedule: Schedule, subject: "Subject") -> Result:
    work, repetitions = subject.work, schedule.repetitions
    before, begun = bench.limits(), datetime.now(UTC)
    if schedule.warm_up:
        bench.progress(f"{trial.name}: warm-up")
        bench.sample(replace(trial, generated=min(trial.generated, 1)))
    samples = []
    for number in range(repetitions):
        bench.progress(f"{trial.name}: {number + 1}/{repetitions}")
        samples.append(bench.sample(trial))
    after = bench.limits()
    limits = before.best(after) if before and after else None
    passes = work.passes(trial, bench.setup.ubatch)
    total = sum(map(work.cost, passes), Cost())
    return Result(
        facts=subject.facts,
        setup=bench.setup,
        trial=trial,
        begun=begun,
        samples_ns=tuple(samples),
        limits=limits,
        bytes_read=total.bytes,
        macs=total.macs,
        limit_seconds=_least_seconds(limits, work, passes),
        profiles=tuple(bench.profiles(trial, repetitions)) if schedule.profile else (),
        arithmetic=bench.model.arithmetic,
        gpu=bench.gpu,
        no_gpu=next((note for note in bench.model.notes if note == bench.model.no_gpu), None),
    )


def _least_seconds(
    limits: MachineLimits | None, work: Workload, passes: Sequence[Pass]
) -> float | None:
    """The roofline time; None if it is unknown (arithmetic limits many-token passes)."""
    if limits is None or (limits.products is None and any(one.tokens > 1 for one in passes)):
        return None
    costs = map(work.cost, passes)
    return sum(limits.seconds(cost.bytes, cost.macs) for cost in costs)


def fastest(results: Sequence[Result]) -> MachineLimits | None:
    """The highest of the limits measured beside each test."""
    measured = [result.limits for result in results if result.limits]
    return reduce(MachineLimits.best, measured) if measured else None


def workload(file: GGUF, context: int, kv: CacheTypes) -> Workload:
    program = loading.build(file, context)
    return Workload(program, StateLayout.of(program, *kv))


def describe(file: GGUF) -> Facts:
    parameters = sum(tensor.size for tensor in file.tensors.values())
    size = sum(tensor.data.nbytes for tensor in file.tensors.values())
    name = f"{file.metadata.string('general.architecture')} {label(parameters)}"
    kind = shares(file)[0].format
    return Facts(__version__, cpu_name(), str(file.path), f"{name} {kind}", size, parameters)


def label(parameters: int) -> str:
    """The size as in model names: 0.5B, 1B, 70B, 30M, 290K."""
    if parameters < 9.5e5:
        return f"{parameters / 1e3:.0f}K"
    if parameters < 1e8:
        return f"{parameters / 1e6:.0f}M"
    return f"{parameters / 1e9:.1f}B" if parameters < 9.5e8 else f"{parameters / 1e9:.0f}B"


class Bench:
    """A loaded model whose passes are timed. The tokens of the depth are run untimed."""

    def __init__(
        self, file: GGUF, setup: Setup, context: int, progress: Callable[[str], None]
    ) -> None:
        self.progress = progress
        self.model = Model(file, setup.options(context), on_compile=self._compiling)
        self._start = self.model.prompts.start
        gpu = self.model.gpu
        self.gpu = gpu.card.name if gpu else ""
        self.setup = replace(
            setup,
            threads=self.model.threads,
            backend=self.model.backend,
            gpu_layers=gpu.placement.layers_on_gpu if gpu else 0,
        )
        self._meter = self.model.meter()
        self._draw = np.random.default_rng(SEED)
        self._vocabulary = self.model.vocabulary_size
        self._before = self._tokens(context)

    def limits(self) -> MachineLimits | None:
        return self._meter.measure()

    def sample(self, trial: Trial) -> int:
        """Runs a trial with new tokens; returns nanoseconds. Those of the depth stay cached."""
        window = self.model.window
        if self._start is None:
            self._fill(trial.depth)
            prompt = window.ids + self._tokens(trial.prompt)
        else:
            self._fill(0 if trial.prompt else trial.read)
            prompt = [*self._tokens(trial.prompt), self._start] if trial.prompt else window.ids
        generated = self._tokens(trial.generated)
        begin = time.perf_counter_ns()
        for _ in window.prefill(prompt):
            pass
        for token in generated:
            window.append([token])
        return time.perf_counter_ns() - begin

    def profiles(self, trial: Trial, repetitions: int) -> Iterator[Profile]:
        """Profiles of the first prefill pass and the first decode step, the fastest of several."""
        if trial.prompt and self._start is None:
            tokens = min(trial.prompt, self.setup.ubatch)
            name = f"prefill of {counted(tokens, 'token')} at depth {trial.depth}"
            yield self._profile(name, trial.depth, tokens, repetitions)
        if trial.generated:
            depth = trial.depth + trial.prompt if self._start is None else trial.read
            yield self._profile(f"decode at depth {depth}", depth, 1, repetitions)

    def close(self) -> None:
        self._meter.close()
        self.model.close()

    def _fill(self, depth: int) -> None:
        """Fills the window with `depth` tokens, always the same; an encoder, if any, reads them."""
        window, before = self.model.window, self._before[:depth]
        if self._start is not None:
            window.reuse([])
            before = [*before, self._start] if depth else []
        window.reuse(before)
        for done in window.prefill(before):
            if done < depth:
                self.progress(f"depth {depth}: {counted(done, 'token')}")

    def _profile(self, name: str, depth: int, tokens: int, repetitions: int) -> Profile:
        self.progress(f"profile: {name}")
        runs = []
        for _ in range(repetitions):
            self._fill(depth)
            times = self.model.profile(self._tokens(tokens))
            runs.append(Profile(name, tuple(by_operator(times))))
        return min(runs, key=lambda run: run.seconds)

    def _tokens(self, count: int) -> list[int]:
        drawn: list[int] = self._draw.integers(0, self._vocabulary, count).tolist()
        return [
            token if token != self._start else (token + 1) % self._vocabulary for token in drawn
        ]

    def _compiling(self, far: Compiling) -> None:
        self.progress(f"compiling kernels: {far.done} of {far.total}")
