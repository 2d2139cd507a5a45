"""Which tokens stand in the KV cache: a prompt keeps the longest common prefix, feeds the rest."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from lepton_cli.engine.decoding.generation import shifted
from ops.backend import Runner
from ops.drawing import Drawer, DrawPlan
from ops.interface import Step
from ops.logits import Logits, RowLogits
from ops.profile import OperatorTime
from ops.state.blocks import BlockPool
from ops.state.layout import StateLayout
from ops.state.sequence import SavedState, SequenceState
from quant.errors import UsageError

CHECKPOINT_TOKENS = 2048
"""So often a long prompt leaves a place that recurrent layers can come back to."""


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


class Passes:
    """A backend's passes, one at a time; `chunk` tokens and `outputs` rows of logits at most."""

    def __init__(self, runner: Runner, chunk: int, outputs: int) -> None:
        self.chunk, self.outputs = chunk, outputs
        self._runner, self._busy = runner, threading.Lock()

    @property
    def pool(self) -> BlockPool:
        return self._runner.pool

    def run(  # (O, V)
        self, step: Step, states: Sequence[SequenceState], interrupt: threading.Event | None = None
    ) -> Logits:
        """Raises UsageError when another thread is amid a pass."""
        with self._alone():
            return self._runner.run(step, states, interrupt)

    def profile(self, step: Step, states: Sequence[SequenceState]) -> list[OperatorTime]:
        """Raises UsageError where operators are not timed."""
        with self._alone():
            return self._runner.profile(step, states)

    @property
    def drawer(self) -> Drawer | None:
        """The backend, where it can draw tokens by itself."""
        return self._runner if isinstance(self._runner, Drawer) else None

    def draw(
        self, step: Step, state: SequenceState, plan: DrawPlan, numbers: Sequence[float]
    ) -> list[int]:
        """See Drawer."""
        assert isinstance(self._runner, Drawer)
        with self._alone():
            return [int(token) for token in self._runner.draw(step, state, plan, numbers)]

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
        self._state = SequenceState(passes.pool)
        self._passes = passes

    def reuse(self, ids: Sequence[int]) -> int:
        """Keeps what the window has in common with a prompt; gives how many tokens.

        The last token is always entered anew: its logits are wanted.
        """
        self.turn += 1
        self._rewind(common(self.ids, list(ids[:-1])))
        self._state.shrink(len(ids))
        return len(self.ids)

    def prefill(
        self, ids: Sequence[int], interrupt: threading.Event | None = None
    ) -> Iterator[int]:
        """Enters what is new of a prompt, chunk by chunk; yields how many positions are done.

        Recurrent layers can come back to its end, and now and then to a place before it.
        """
        turn = self.turn
        while len(self.ids) < len(ids):
            self.check(turn)
            start = len(self.ids)
            part = ids[start : start + self._passes.chunk]
            last = start + len(part) == len(ids)
            logits = self._run(part, [len(part) - 1] if last else [], interrupt)
            if last:
                self.logits = logits[0]
            if last or len(self.ids) // CHECKPOINT_TOKENS > start // CHECKPOINT_TOKENS:
                self._state.checkpoint()
            yield len(self.ids)

    def enter(self, tokens: Sequence[int], interrupt: threading.Event | None = None) -> Logits:
        """The logits of each of them, (tokens, V), valid until the next pass.

        Several tokens hold guesses, some of which may be forgotten again.
        """
        if len(tokens) > 1:
            self._state.checkpoint()
        rows = self._run(tokens, range(len(tokens)), interrupt)
        self.logits = rows[-1]
        return rows

    @property
    def drawer(self) -> Drawer | None:
        """The backend, where it can draw tokens by itself."""
        return self._passes.drawer

    def draw(self, token: int, plan: DrawPlan, numbers: Sequence[float]) -> list[int]:
        """Enters a token, draws the next and enters that, ...: the drawn, the last not entered."""
        drawn = self._passes.draw(self.step([token], [0]), self._state, plan, numbers)
        self.ids += [token, *drawn[:-1]]
        return drawn

    def forget(self, count: int) -> None:
        """Takes the last tokens out of the window again."""
        if count:
            wanted = self.ids[: len(self.ids) - count]
            self._rewind(len(wanted))
            self._enter_again(wanted)

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
        self._rewind(0)
        for _ in self.prefill(left, interrupt):
            pass

    def all_logits(self, ids: Sequence[int]) -> NDArray[np.float32]:  # (T, V)
        """One causal pass from an empty window, every row wanted."""
        self.turn += 1
        turn, outputs = self.turn, self._passes.outputs
        self._rewind(0)
        parts = []
        for start in range(0, len(ids), outputs):
            self.check(turn)
            part = ids[start : start + outputs]
            parts.append(np.array(self._run(part, range(len(part)), None)))
        return np.concatenate(parts)

    @property
    def layout(self) -> StateLayout:
        """How K and V lie in a block."""
        return self._state.layout

    def save(self, position: int) -> SavedState:
        """The state after so many tokens of the window, or a few less; copied before a pass."""
        return self._state.save(position)

    def restore(self, ids: Sequence[int], saved: SavedState) -> None:
        """Fills the window with the tokens that a saved state is of."""
        self.turn += 1
        self._state.restore(saved)
        self.ids[:] = ids[: saved.position]

    def profile(self, tokens: Sequence[int]) -> list[OperatorTime]:
        """A pass of tokens that do not stay in the window; the last one's logits are asked for.

        Raises UsageError on a backend that does not time its operators.
        """
        state, reached = self._state.fork(len(self.ids))
        assert reached == len(self.ids), "the window stands at its end"
        try:
            return self._passes.profile(self.step(tokens, [len(tokens) - 1]), [state])
        finally:
            state.clear()

    def clear(self) -> None:
        """Empties the window and gives its memory back."""
        self._rewind(0)
        self._state.clear()

    def step(self, tokens: Sequence[int], outputs: Sequence[int]) -> Step:
        """The pass of tokens that come next; `outputs` of them are asked for their logits."""
        start = len(self.ids)
        return Step(
            np.array(tokens, np.int32),
            np.arange(start, start + len(tokens), dtype=np.int32),
            np.array(outputs, np.int32),
        )

    def _rewind(self, position: int) -> None:
        """Cuts the window there, or before: what is missing then is for the caller to enter."""
        del self.ids[self._state.rewind(position) :]

    def _enter_again(self, ids: Sequence[int]) -> None:
        """What a rewind has cut off too much."""
        while len(self.ids) < len(ids):
            start = len(self.ids)
            self._run(ids[start : start + self._passes.chunk], [], None)

    def _run(
        self, tokens: Sequence[int], outputs: Sequence[int], interrupt: threading.Event | None
    ) -> Logits:
        try:
            logits = self._passes.run(self.step(tokens, outputs), [self._state], interrupt)
        except BaseException:
            self._rewind(len(self.ids))  # a step that was broken off leaves half a state
            raise
        self.ids.extend(tokens)
        return logits
