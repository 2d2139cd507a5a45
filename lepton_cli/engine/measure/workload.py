"""The bytes and multiply-adds of a model's passes, counted from its recorded program."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ops.interface import Step
from ops.operations.base import Cost, PositionBytes
from ops.program import Program


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass of `tokens` after `start` others; `outputs` of them give logits."""

    start: int
    tokens: int
    outputs: int


@dataclass(frozen=True, slots=True)
class Trial:
    """A benchmark test, named as in llama-bench; the tokens of the depth are run untimed."""

    prompt: int
    generated: int
    depth: int

    @property
    def name(self) -> str:
        parts = [f"pp{self.prompt}"] * (self.prompt > 0) + [f"tg{self.generated}"] * (
            self.generated > 0
        )
        return "+".join(parts) + (f" @ d{self.depth}" if self.depth else "")

    @property
    def tokens(self) -> int:
        return self.prompt + self.generated

    def passes(self, ubatch: int) -> Iterator[Pass]:
        """The prompt in chunks, the last of which gives logits; then token by token."""
        end = self.depth + self.prompt
        for start in range(self.depth, end, ubatch):
            tokens = min(ubatch, end - start)
            yield Pass(start, tokens, int(start + tokens == end))
        for start in range(end, end + self.generated):
            yield Pass(start, 1, 1)


@dataclass(frozen=True, slots=True)
class Workload:
    """The cost of a program's passes: every weight and cache entry is read once."""

    program: Program
    cache: PositionBytes

    def cost(self, each: Pass) -> Cost:
        step = Step(
            np.zeros(each.tokens, np.int32),
            np.arange(each.start, each.start + each.tokens, dtype=np.int32),
            np.arange(each.outputs, dtype=np.int32),
        )
        operations = self.program.operations
        return sum((operation.costs(step, self.cache) for operation in operations), Cost())
