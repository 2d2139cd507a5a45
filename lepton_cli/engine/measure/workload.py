"""The bytes and multiply-adds of a model's passes, counted from its recorded program."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ops.interface import Step
from ops.operations.base import Cost, PositionBytes
from ops.program import Program


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass of `tokens` after `start` others; `outputs` of them give logits.

    `read`: how many tokens an encoder reads in it, if it `encodes`, or has read before it.
    """

    start: int
    tokens: int
    outputs: int
    read: int = 0
    encodes: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """A benchmark test, named as in llama-bench; the tokens of the depth are run untimed.

    A model with an encoder reads the prompt, or else the tokens of the depth, at least one, at
    once; its answers begin with a start token.
    """

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

    @property
    def read(self) -> int:
        """How many tokens an encoder reads, if there is one."""
        return self.prompt or max(1, self.depth)

    def encoded_passes(self) -> Iterator[Pass]:
        """Of a model with an encoder: that of the prompt, then the decoder's, token by token."""
        if self.prompt:
            yield Pass(0, self.read, 0, self.read, encodes=True)
        for start in range(0 if self.prompt else 1, self.generated + 1):
            yield Pass(start, 1, 1, self.read)


@dataclass(frozen=True, slots=True)
class Workload:
    """The cost of a program's passes: every weight and cache entry is read once."""

    program: Program
    cache: PositionBytes

    def passes(self, trial: Trial, ubatch: int) -> list[Pass]:
        has_encoder = self.program.encoder is not None
        return list(trial.encoded_passes() if has_encoder else trial.passes(ubatch))

    def cost(self, each: Pass) -> Cost:
        step = Step(
            np.zeros(each.tokens, np.int32),
            np.arange(each.start, each.start + each.tokens, dtype=np.int32),
            np.arange(each.outputs, dtype=np.int32),
            prompts=(each.read,) if each.read else (),
        )
        encoder = self.program.encoder
        operations = (encoder.program if each.encodes and encoder else self.program).operations
        return sum((operation.costs(step, self.cache) for operation in operations), Cost())
