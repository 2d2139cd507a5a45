"""Which tokens stand in the KV cache: a prompt keeps the longest common prefix, feeds the rest."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lepton_cli.engine.generation import shifted
from ops.cache import BlockPool, CacheLayout, KVCache
from ops.drawing import Drawer, DrawPlan
from ops.interface import BLOCK, Step
from ops.profile import OperatorTime
from ops.rows import Logits, RowLogits
from quant.errors import UsageError


def common(ids: list[int], others: list[int]) -> int:
    """How many tokens two sequences begin with alike."""
    low, high = 0, min(len(ids), len(others))
    while low < high:  # slices are compared by far faster than tokens one by one
        middle = (low + high + 1) // 2
        if ids[low:middle] == others[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


class Runner(Protocol):
    """What a backend offers: a pass over a few tokens."""

    @property
    def pool(self) -> BlockPool: ...
    def run(  # (O, V)
        self, step: Step, caches: Sequence[KVCache], interrupt: threading.Event | None = None
    ) -> Logits: ...
    def profile(self, step: Step, caches: Sequence[KVCache]) -> list[OperatorTime]:
        """Raises UsageError where operators are not timed."""

    def room(self) -> int:
        """How many more blocks of cache there is memory for."""

    def close(self) -> None: ...


class Passes:
    """A backend's passes, one at a time; `chunk` tokens and `outputs` rows of logits at most."""

    def __init__(self, runner: Runner, chunk: int, outputs: int) -> None:
        self.chunk, self.outputs = chunk, outputs
        self._runner, self._busy = runner, threading.Lock()

    @property
    def pool(self) -> BlockPool:
        return self._runner.pool

    def run(  # (O, V)
        self, step: Step, caches: Sequence[KVCache], interrupt: threading.Event | None = None
    ) -> Logits:
        """Raises UsageError when another thread is amid a pass."""
        with self._alone():
            return self._runner.run(step, caches, interrupt)

    @property
    def drawer(self) -> Drawer | None:
        """The backend, where it can draw tokens by itself."""
        return self._runner if isinstance(self._runner, Drawer) else None

    def draw(
        self, step: Step, cache: KVCache, plan: DrawPlan, numbers: Sequence[float]
    ) -> list[int]:
        """See Drawer."""
        assert isinstance(self._runner, Drawer)
        with self._alone():
            return [int(token) for token in self._runner.draw(step, cache, plan, numbers)]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise UsageError("the model is at work in another thread", "load it once a thread")
        try:
            yield
        finally:
            self._busy.release()


class Positions:
    """A window of `size` positions; `ids` are the tokens in it, `logits` those of the last one."""

    def __init__(self, passes: Passes, size: int) -> None:
        self.size = size
        self.ids: list[int] = []
        self.turn = 0  # which prompt has the window: two answers at once would mix their tokens
        self.logits: RowLogits = np.empty(0, np.float32)
        self.cache = KVCache(passes.pool)
        self._passes = passes

    def reuse(self, ids: Sequence[int]) -> int:
        """Keeps what the cache has in common with a prompt; gives how many tokens.

        The last token is always entered anew: its logits are wanted.
        """
        self.turn += 1
        kept = common(self.ids, list(ids[:-1]))
        del self.ids[kept:]
        self.cache.shrink(len(ids))
        return kept

    def prefill(
        self, ids: Sequence[int], interrupt: threading.Event | None = None
    ) -> Iterator[int]:
        """Enters what is new of a prompt, chunk by chunk; yields how many positions are done."""
        turn = self.turn
        while len(self.ids) < len(ids):
            self.check(turn)
            part = ids[len(self.ids) : len(self.ids) + self._passes.chunk]
            last = len(self.ids) + len(part) == len(ids)
            logits = self._run(part, [len(part) - 1] if last else [], interrupt)
            if last:
                self.logits = logits[0]
            yield len(self.ids)

    def enter(self, tokens: Sequence[int], interrupt: threading.Event | None = None) -> Logits:
        """The logits of each of them, (tokens, V), valid until the next pass."""
        rows = self._run(tokens, range(len(tokens)), interrupt)
        self.logits = rows[-1]
        return rows

    @property
    def drawer(self) -> Drawer | None:
        """The backend, where it can draw tokens by itself."""
        return self._passes.drawer

    def draw(self, token: int, plan: DrawPlan, numbers: Sequence[float]) -> list[int]:
        """Enters a token, draws the next and enters that, ...: the drawn, the last not entered."""
        drawn = self._passes.draw(self.step([token], [0]), self.cache, plan, numbers)
        self.ids += [token, *drawn[:-1]]
        return drawn

    def forget(self, count: int) -> None:
        """Takes the last tokens out of the window again."""
        del self.ids[len(self.ids) - count :]

    @property
    def most_at_once(self) -> int:
        """Tokens that `enter` takes now."""
        return min(self._passes.chunk, self._passes.outputs, self.size - len(self.ids))

    def check(self, turn: int) -> None:
        """Raises UsageError when another prompt has taken the window meanwhile."""
        if turn != self.turn:
            message = "the model has begun another prompt"
            raise UsageError(message, "finish one answer before the next, or load the model twice")

    def shift(self, keep: int, interrupt: threading.Event | None = None) -> None:
        """Forgets the older half of a full window, but for the first `keep` tokens.

        What is left is read again from position 0.
        """
        left = shifted(self.ids, self.size, keep)
        self.ids.clear()
        for _ in self.prefill(left, interrupt):
            pass

    def all_logits(self, ids: Sequence[int]) -> NDArray[np.float32]:  # (T, V)
        """One causal pass from an empty window, every row wanted."""
        self.turn += 1
        turn, outputs = self.turn, self._passes.outputs
        self.ids.clear()
        parts = []
        for start in range(0, len(ids), outputs):
            self.check(turn)
            part = ids[start : start + outputs]
            parts.append(np.array(self._run(part, range(len(part)), None)))
        return np.concatenate(parts)

    @property
    def layout(self) -> CacheLayout:
        """How K and V lie in a block."""
        return self.cache.layout

    def saved(self) -> list[NDArray[np.uint8]]:
        """The blocks of `ids`, to be copied before the next pass."""
        pool, count = self.cache.pool, -(-len(self.ids) // BLOCK)
        return [pool.read(block) for block in self.cache.blocks[:count]]

    def restore(self, ids: Sequence[int], blocks: Sequence[NDArray[np.uint8]]) -> None:
        """Fills the window with tokens and with what `saved` gave for them, or for more."""
        self.turn += 1
        self.ids.clear()
        self.cache.shrink(0)
        self.cache.reserve(0, len(ids))
        for mine, given in zip(self.cache.blocks, blocks, strict=False):
            self.cache.pool.write(mine, given)
        self.ids.extend(ids)

    def step(self, tokens: Sequence[int], outputs: Sequence[int]) -> Step:
        """The pass of tokens that come next; `outputs` of them are asked for their logits."""
        start = len(self.ids)
        return Step(
            np.array(tokens, np.int32),
            np.arange(start, start + len(tokens), dtype=np.int32),
            np.array(outputs, np.int32),
        )

    def _run(
        self, tokens: Sequence[int], outputs: Sequence[int], interrupt: threading.Event | None
    ) -> Logits:
        logits = self._passes.run(self.step(tokens, outputs), [self.cache], interrupt)
        self.ids.extend(tokens)
        return logits
