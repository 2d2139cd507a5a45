"""Whole models on a card against the CPU, and against themselves in passes of other sizes."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from emulated import kernels_of, open_card, open_on_card
from numpy.typing import NDArray
from passes import nmse, resources

from lepton_cli.engine.decoding.window import Passes, Window
from lepton_cli.engine.loading import plan as loading
from ops.backend import CpuBackend, Runner
from ops.cuda.rules.refusals import refusal
from ops.cuda.runner import CudaRunner
from ops.interface import Step
from ops.machine import default_threads
from ops.memory_plan import Limits
from ops.program import Program
from ops.runners.split import SplitRunner
from quant.gguf import GGUF

CHUNKS = (512, 64, 7, 1)
JOBS = (1, 9, 33, 2, 5, 14, 20, 3)  # tokens of prompts that are answered together
GENERATED, ASKED = 32, 24  # tokens
OUTPUTS = 32
KV = ("f16", "f16")
NEAR = 4  # standard deviations of what logits may differ by: nearer ones are a tie
FLOATS = frozenset({"F32", "F16", "BF16"})
FLOAT_LIMIT, QUANTIZED_LIMIT = 1e-5, 1e-3  # normalised mean square errors of logits
FEW_LAYERS, DEEP_LIMIT = 8, 4e-3
"""A byte of an activation that rounds the other way changes all that follow: on the CPU alone, the
logits of 16 layers of random weights move by 9e-4 when the cache is f32 instead of f16."""

Logits = NDArray[np.float32]
Ids = list[int]


@dataclass(frozen=True, slots=True)
class Side:
    """A model on one backend."""

    runner: Runner
    context: int
    chunk: int
    vocabulary: int

    @contextmanager
    def window(self, chunk: int | None = None) -> Iterator[Window]:
        """Empty, in passes of so many tokens; its cache is given back."""
        passes = Passes(self.runner, min(chunk or self.chunk, self.chunk), min(OUTPUTS, self.chunk))
        positions = Window(passes, self.context)
        try:
            yield positions
        finally:
            positions.clear()

    def logits(self, ids: Ids) -> Logits:  # (T, V)
        with self.window() as positions:
            return positions.all_logits(ids)

    def last(self, ids: Ids, chunk: int | None = None) -> Logits:  # (V,)
        with self.window(chunk) as positions:
            return _read(positions, ids)

    def greedy(self, prompt: Ids, count: int) -> Ids:
        with self.window() as positions:
            row, drawn = _read(positions, prompt), Ids()
            for _ in range(count):
                drawn.append(int(row.argmax()))
                row = np.array(positions.append(drawn[-1:])[0])
            return drawn

    def together(self, prompts: Sequence[Ids], tails: Sequence[int]) -> Logits:  # (prompts, V)
        """Each prompt's last logits; its last `tails` tokens enter with those of the others."""
        with ExitStack() as stack:
            windows = [stack.enter_context(self.window()) for _ in prompts]
            for window, prompt, tail in zip(windows, prompts, tails, strict=True):
                for _ in window.prefill(prompt[: len(prompt) - tail]):
                    pass
            step = step_of(prompts, tails)
            return np.array(self.runner.run(step, [window._state for window in windows]))


def step_of(prompts: Sequence[Ids], tails: Sequence[int]) -> Step:
    """Of the last tokens of some sequences, the last of each asked for its logits."""
    pairs = list(zip(prompts, tails, strict=True))
    tokens = np.concatenate([prompt[len(prompt) - tail :] for prompt, tail in pairs])
    places = np.concatenate([np.arange(len(prompt) - tail, len(prompt)) for prompt, tail in pairs])
    ends = np.cumsum(tails)
    starts = (0, *ends[:-1].tolist())
    return Step(
        tokens.astype(np.int32), places.astype(np.int32), (ends - 1).astype(np.int32), starts
    )


@contextmanager
def open_side(path: Path, backend: str, most: int = max(CHUNKS)) -> Iterator[Side]:
    """`backend`: cpu, cuda, or split (half of the layers on each)."""
    file = GGUF.open(path)
    context = min(loading.trained_context(file), 2 * most)
    program = loading.build(file, context)
    limits = Limits(min(most, context), min(OUTPUTS, most, context))
    threads = default_threads().count
    if backend == "cpu":
        runner: Runner = CpuBackend(KV, resources(threads)).open(program, limits)
    elif backend == "cuda":
        runner = open_on_card(program.forward, limits)
    else:
        runner = _open_split(program, limits, threads)
    with closing(runner):
        yield Side(runner, context, limits.tokens, program.output.buffer.width)


def _open_split(program: Program, limits: Limits, threads: int) -> SplitRunner:
    """As `ops.backend.open_on_both`, on the card of the tests."""
    before, behind = program.split(program.layers // 2)
    card = open_card()
    second = CudaRunner(card, behind, KV, limits, kernels_of(card))
    return SplitRunner(CpuBackend(KV, resources(threads)).open(before, limits), second)


def refused(path: Path) -> str | None:
    """Why cards do not run this model, if so."""
    file = GGUF.open(path)
    return refusal(loading.build(file, loading.trained_context(file)))


def check_model(path: Path, *, split: bool = False, chunks: Sequence[int] = CHUNKS) -> str:
    """All claims of this file about one model. Raises AssertionError."""
    limit = limit_of(path)
    with ExitStack() as stack:
        sides = ["cpu", "cuda", *(["split"] if split else [])]
        cpu, card, *others = [
            stack.enter_context(open_side(path, one, max(chunks))) for one in sides
        ]
        told = [near(cpu, card, limit), alike(cpu, card, limit), same_bytes(card, chunks)]
        told += [f"half the layers: {near(cpu, other, limit)}" for other in others]
    return ", ".join(told)


def limit_of(path: Path) -> float:
    """How far its logits may lie from the CPU's."""
    tensors = GGUF.open(path).tensors
    if {tensor.format.name for tensor in tensors.values()} <= FLOATS:
        return FLOAT_LIMIT
    few = f"blk.{FEW_LAYERS}.attn_norm.weight" not in tensors
    return QUANTIZED_LIMIT if few else DEEP_LIMIT


def near(cpu: Side, card: Side, limit: float) -> str:
    """The logits of a pass."""
    ids = _prompt(cpu, ASKED)
    want, got = cpu.logits(ids), card.logits(ids)
    assert np.isfinite(got).all(), "some logits are no numbers"
    error = nmse(got, want)
    assert error < limit, f"the logits' NMSE is {error:.1e}, not below {limit:.0e}"
    return f"NMSE {error:.1e}"


def alike(cpu: Side, card: Side, limit: float) -> str:
    """Greedy ids, up to a near-tie at most."""
    prompt = _prompt(cpu, 8, seed=1)
    want, got = (side.greedy(prompt, GENERATED) for side in (cpu, card))
    if want == got:
        return f"{GENERATED} greedy ids equal"
    n = next(n for n, pair in enumerate(zip(want, got, strict=True)) if pair[0] != pair[1])
    row = cpu.last(prompt + want[:n])
    gap, tie = float(row[want[n]] - row[got[n]]), NEAR * math.sqrt(2 * limit) * float(row.std())
    assert gap <= tie, (
        f"greedy id {n} differs: the CPU's is better by {gap:.3g}, a tie is {tie:.3g}"
    )
    return f"greedy ids equal up to a near-tie at {n}"


def same_bytes(side: Side, chunks: Sequence[int] = CHUNKS) -> str:
    """The same logits for every size of a prompt's chunks, and alone or in a batch."""
    longest = min(max(chunks), side.context)
    long = _prompt(side, longest, seed=2)
    whole = side.last(long)
    for chunk in chunks:
        assert side.last(long, chunk).tobytes() == whole.tobytes(), f"chunks of {chunk} differ"
    prompts = [_prompt(side, min(count, longest), seed=count) for count in JOBS]
    alone = np.stack([side.last(prompt) for prompt in prompts])
    mixed = [min(len(prompt), 1 + 2 * (n % 2)) for n, prompt in enumerate(prompts)]
    for tails in ([1] * len(prompts), mixed):
        got = side.together(prompts, tails)
        wrong = [n for n in range(len(prompts)) if got[n].tobytes() != alone[n].tobytes()]
        assert not wrong, f"in a batch of {len(prompts)} the sequences {wrong} differ"
    sizes = ", ".join(map(str, sorted(chunks)))
    return f"same bytes in chunks of {sizes} and batches of 1 and {len(prompts)}"


def _prompt(side: Side, count: int, seed: int = 0) -> Ids:
    drawn: Ids = np.random.default_rng(seed).integers(0, side.vocabulary, count).tolist()
    return drawn


def _read(positions: Window, ids: Ids) -> Logits:  # (V,)
    for _ in positions.prefill(ids):
        pass
    return np.array(positions.logits)
