"""The context window: the tokens in the KV cache; a new prompt reuses the common prefix."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lepton_cli.engine.decoding.generation import shifted
from lepton_cli.engine.decoding.prompts import Prompts
from lepton_cli.engine.library.sizes import counted
from ops.backend import Runner
from ops.drawing import Drawer, DrawPlan
from ops.interface import Step
from ops.logits import Logits, RowLogits
from ops.profile import OperatorTime
from ops.runners.chain import ChainedRunner, Rows
from ops.state.blocks import BlockPool
from ops.state.layout import StateLayout
from ops.state.sequence import SavedState, SequenceState
from quant.errors import UsageError

CHECKPOINT_TOKENS = 2048
"""Interval of checkpoints in a long prompt, to which recurrent layers can rewind."""
MIN_CHECKPOINT_DISTANCE = 64
"""Tokens. Running fewer again costs less than cutting a pass in two for a checkpoint."""


def common_prefix(ids: list[int], others: list[int]) -> int:
    """The length of the common prefix of two token sequences."""
    low, high = 0, min(len(ids), len(others))
    while low < high:  # comparing slices is far faster than comparing single tokens
        middle = (low + high + 1) // 2
        if ids[low:middle] == others[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


class Follower(Protocol):
    """Is told of the tokens that a window runs, and of the model's last rows for them."""

    def follow(self, start: int, tokens: Sequence[int], rows: Rows) -> None:
        """`start`: the position of the first; `rows` are valid until the next pass."""


class Passes:
    """Runs passes on a backend, one at a time: at most `chunk` tokens, `outputs` rows of logits.

    `whole`: tokens see those behind them, so that all of a sequence have to be in one pass, as a
    prompt that an encoder reads.
    """

    def __init__(
        self,
        runner: Runner,
        chunk: int,
        outputs: int,
        *,
        whole: bool = False,
        prompts: Prompts | None = None,
    ) -> None:
        self.chunk, self.outputs, self.whole = chunk, outputs, whole
        self.prompts = prompts or Prompts()
        self.begun = 0  # so many passes; the logits of the last one are valid
        self.scales = 0  # how often the adapters were rescaled
        self._runner, self._busy = runner, threading.Lock()

    @property
    def pool(self) -> BlockPool:
        return self._runner.pool

    def check_causal(
        self, cure: str = "use lepton run without --candidates, --beams and -md"
    ) -> None:
        """Raises UsageError where tokens see those behind them: nothing can be appended."""
        if self.whole:
            message = "this model generates by diffusion, one answer at once"
            raise UsageError(message, cure)

    def check_scales(self, begun_with: int) -> None:
        """Raises UsageError if what sequences keep was computed with other scales."""
        if self.scales != begun_with:
            message = "the adapters were rescaled while a batch was running"
            raise UsageError(message, "rescale them before or after it")

    def run(  # (O, V)
        self, step: Step, states: Sequence[SequenceState], interrupt: threading.Event | None = None
    ) -> Logits:
        """Raises UsageError while another thread runs a pass."""
        with self._exclusive():
            return self._runner.run(step, states, interrupt)

    def run_with_rows(
        self,
        step: Step,
        wanted: Sequence[int],
        states: Sequence[SequenceState],
        interrupt: threading.Event | None = None,
    ) -> tuple[Logits, Rows]:
        """Logits of the `wanted` ones of the step's outputs, and the rows of all outputs.

        Only of a model that was opened in parts.
        """
        assert isinstance(self._runner, ChainedRunner), "rows are read between two parts"
        with self._exclusive():
            rows = self._runner.rows(step, states, interrupt)
            return self._runner.output.run(rows[list(wanted)]), rows

    def profile(self, step: Step, states: Sequence[SequenceState]) -> list[OperatorTime]:
        """Raises UsageError where operator times are not measured."""
        with self._exclusive():
            return self._runner.profile(step, states)

    @property
    def drawer(self) -> Drawer | None:
        """The backend, if it can draw tokens by itself."""
        return self._runner if isinstance(self._runner, Drawer) else None

    def draw(
        self, step: Step, state: SequenceState, plan: DrawPlan, numbers: Sequence[float]
    ) -> list[int]:
        """See Drawer."""
        assert isinstance(self._runner, Drawer)
        with self._exclusive():
            return [int(token) for token in self._runner.draw(step, state, plan, numbers)]

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise UsageError("the model is in use by another thread", "load it once per thread")
        self.begun += 1
        try:
            yield
        finally:
            self._busy.release()


class Window:
    """A window of `size` positions; `ids` are the tokens in it, `logits` those of the last one."""

    def __init__(self, passes: Passes, size: int) -> None:
        self.size = size
        self.ids: list[int] = []
        self.owner = 0  # the number of the prompt in it: answers must not mix their tokens
        self.logits: RowLogits = np.empty(0, np.float32)
        self.follower: Follower | None = None
        self._state = SequenceState(passes.pool)
        self._pending = 0  # the last tokens of `ids` that the state has yet to run: see `drop_last`
        self._parting = 0  # where the prompt parts from the one before it
        self._logits_of = 0  # the pass that gave the logits of the last of `ids`, 0: none
        self._passes = passes

    def reuse(self, ids: Sequence[int], *, temporary: bool = False) -> int:
        """Keeps the common prefix of the window and a prompt; returns its length.

        The prompt's last token is run again, since its logits are needed, except where the prompt
        is all that the window holds and they are still there. Sets a checkpoint at the window's end
        if the prompt continues from there, unless it is only `temporary`.
        """
        self.owner += 1
        has_logits = self._logits_of == self._passes.begun and self.ids == list(ids)
        self._parting = shared = common_prefix(self.ids, list(ids if has_logits else ids[:-1]))
        if shared == len(self.ids) and not temporary:
            self._run_pending()
            self._state.checkpoint()
        self._rewind(shared)
        self._state.shrink(len(ids))
        return len(self.ids)

    def prefill(
        self,
        ids: Sequence[int],
        interrupt: threading.Event | None = None,
        *,
        marks: Sequence[int] = (),
        temporary: bool = False,
    ) -> Iterator[int]:
        """Runs the rest of a prompt in chunks; yields the number of positions done.

        Sets checkpoints, to which recurrent layers can rewind, before the last token, every
        CHECKPOINT_TOKENS, at `marks` and where the prompt parts from the one before it, where they
        are far enough from each other; or only one at the end, `temporary`: the next of its kind
        replaces it.
        """
        owner, ends = self.owner, self._checkpoint_positions(ids, marks)
        if temporary:
            ends = [len(ids)]
        while len(self.ids) < len(ids):
            self.check(owner)
            start = len(self.ids)
            end = min(ends[0] if ends else len(ids), start + self._passes.chunk)
            last = end == len(ids)
            logits = self._run(ids[start:end], [end - start - 1] if last else [], interrupt)
            if last:
                self._keep_logits(logits[0])
            if ends and end == ends[0]:
                del ends[0]
                self._state.checkpoint(temporary=temporary)
            yield len(self.ids)

    def _checkpoint_positions(self, ids: Sequence[int], marks: Sequence[int]) -> list[int]:
        """Ends of a prompt's chunks at which recurrent layers need a checkpoint, in order."""
        if not (self._state.layout.slots and self._passes.pool.checkpoints):
            return []
        end = len(ids) - 1  # the same prompt needs the logits of its last token again
        positions, last = list[int](), len(self.ids)
        for position in sorted({*marks, self._parting, *range(0, end, CHECKPOINT_TOKENS), end}):
            if last + MIN_CHECKPOINT_DISTANCE <= position <= end:
                positions.append(position)
                last = position
        return positions

    def append(self, tokens: Sequence[int], interrupt: threading.Event | None = None) -> Logits:
        """Runs tokens; returns the logits of each, (tokens, V), valid until the next pass.

        With several tokens, some may be guesses that `drop_last` removes again.
        """
        rows = self._run(tokens, range(len(tokens)), interrupt)
        self._keep_logits(rows[-1])
        return rows

    def _keep_logits(self, logits: RowLogits) -> None:
        self.logits, self._logits_of = logits, self._passes.begun

    @property
    def drawer(self) -> Drawer | None:
        """The backend, if it can draw tokens by itself."""
        return self._passes.drawer

    def draw(self, token: int, plan: DrawPlan, numbers: Sequence[float]) -> list[int]:
        """Runs a token, draws the next, runs that, ...; returns those drawn (the last not run)."""
        self._run_pending()
        drawn = self._passes.draw(self.step([token], [0]), self._state, plan, numbers)
        self.ids += [token, *drawn[:-1]]
        return drawn

    def drop_last(self, count: int) -> None:
        """Removes the last `count` tokens.

        Where recurrent layers rewind further, the next pass runs what they lack.
        """
        if count:
            del self.ids[len(self.ids) - count :]
            self._logits_of = 0
            self._pending = len(self.ids) - self._state.rewind(len(self.ids))

    @property
    def most_at_once(self) -> int:
        """The most tokens that `logits_of_whole` takes."""
        return min(self._passes.chunk, self.size)

    @property
    def max_batch(self) -> int:
        """The most tokens that `append` takes now."""
        room = max(1, self._passes.chunk - self._pending)
        return min(room, self._passes.outputs, self.size - len(self.ids))

    def check(self, owner: int) -> None:
        """Raises UsageError if another prompt has taken over the window."""
        if owner != self.owner:
            message = "the model has started another prompt"
            raise UsageError(message, "finish one answer before the next, or load the model twice")

    def shift(self, keep: int, interrupt: threading.Event | None = None) -> None:
        """Drops the older half of a full window except the first `keep` tokens.

        The rest is run again from position 0.
        """
        remaining = shifted(self.ids, self.size, keep)
        self._parting = 0
        self._rewind(0)
        for _ in self.prefill(remaining, interrupt):
            pass

    def all_logits(self, ids: Sequence[int]) -> NDArray[np.float32]:  # (T, V)
        """The logits of every token that no encoder reads, run from an empty window."""
        if self._passes.whole:
            return np.array(self.logits_of_whole(ids, range(len(ids))))
        first = self._passes.prompts.encoded(ids)
        return np.concatenate([np.array(part) for part in self.logits_from(first, ids)])

    def logits_from(
        self,
        first: int,
        ids: Sequence[int],
        interrupt: threading.Event | None = None,
        *,
        reuse: bool = False,
    ) -> Iterator[Logits]:
        """The logits of ids[first:] in parts, (n, V) each, run from an empty window.

        With `reuse` from what the window holds of ids[:first], which no encoder may read then.
        Each part is valid until the next one. A prompt that an encoder reads ends at `first`.
        Raises Interrupted, and UsageError where tokens see those behind them.
        """
        self._passes.check_causal("use a model that predicts the next token")
        self.owner += 1
        owner, passes = self.owner, self._passes
        self._rewind(min(first, common_prefix(self.ids, list(ids))) if reuse else 0)
        while (start := len(self.ids)) < len(ids):
            self.check(owner)
            end = min(len(ids), start + passes.chunk, max(start, first) + passes.outputs)
            rows = range(max(0, first - start), end - start)
            logits = self._run(ids[start:end], rows, interrupt)
            if rows:
                yield logits

    def logits_of_whole(  # (O, V)
        self,
        ids: Sequence[int],
        outputs: Sequence[int],
        interrupt: threading.Event | None = None,
    ) -> Logits:
        """The logits of the tokens with these indices, of which each sees all tokens.

        They are valid until the next pass. Raises UsageError for more tokens than a pass takes.
        """
        if len(ids) > self.most_at_once:
            message = f"{counted(len(ids), 'token')} that see each other, but a pass takes "
            hint = f"use -ub {len(ids)} (and -c {len(ids)}) or more"
            raise UsageError(f"{message}{self.most_at_once}", hint)
        self.owner += 1
        self._rewind(0)
        return self._run(ids, outputs, interrupt)

    @property
    def checkpoints(self) -> list[int]:
        """The positions to which recurrent layers can rewind, in ascending order."""
        return self._state.checkpoints

    @property
    def layout(self) -> StateLayout:
        """The memory layout of a sequence's state."""
        return self._state.layout

    def save(self, position: int) -> SavedState:
        """The state after `position` tokens or slightly fewer; copy it before the next pass."""
        self._run_pending()
        return self._state.save(position)

    def restore(self, ids: Sequence[int], saved: SavedState) -> None:
        """Replaces the window by a saved state and its tokens."""
        self.owner += 1
        self._rewind(0)
        self._state.restore(saved)
        self.ids[:] = ids[: saved.position]
        self._logits_of = 0

    def profile(self, tokens: Sequence[int]) -> list[OperatorTime]:
        """Measures a pass of tokens that do not stay in the window, with logits of the last one.

        Raises UsageError for more tokens than a pass takes, and on a backend that does not measure
        operator times.
        """
        if len(tokens) > self._passes.chunk:
            message = f"{counted(len(tokens), 'token')}, but a pass takes {self._passes.chunk}"
            raise UsageError(message, "load the model with a larger ubatch")
        self._run_pending()
        state, reached = self._state.fork(len(self.ids))
        assert reached == len(self.ids), "the state is at the window's end"
        try:
            return self._passes.profile(self.step(tokens, [len(tokens) - 1]), [state])
        finally:
            state.clear()

    def clear(self) -> None:
        """Empties the window and frees its memory."""
        self.owner += 1
        self._rewind(0)
        self._state.clear()

    def step(self, tokens: Sequence[int], outputs: Sequence[int]) -> Step:
        """The step for the next tokens; `outputs`: indices of those whose logits are wanted."""
        start = len(self.ids) - self._pending
        return Step(
            np.array(tokens, np.int32),
            np.arange(start, start + len(tokens), dtype=np.int32),
            np.array(outputs, np.int32),
        )

    def _rewind(self, position: int) -> None:
        """Cuts the window at `position` or earlier; the caller runs the missing tokens again."""
        reached = self._state.rewind(position)
        if reached < len(self.ids):
            del self.ids[reached:]
            self._logits_of = 0
        self._pending = 0

    def _run_pending(self, most: int = 0) -> None:
        """Runs the pending tokens except the last `most`."""
        while self._pending > most:
            count = min(self._pending - most, self._passes.chunk)
            self._pass(self.ids[len(self.ids) - self._pending :][:count], [], None)
            self._pending -= count

    def _run(
        self, tokens: Sequence[int], outputs: Sequence[int], interrupt: threading.Event | None
    ) -> Logits:
        """Runs the pending tokens and these, in one pass if it has room for them.

        Recurrent layers keep their state from before a pass, as it may be interrupted or its last
        tokens dropped; but not from before that of one token, which is not interrupted instead.
        """
        self._run_pending(self._passes.chunk - len(tokens))
        pending = self._pending
        together = [*self.ids[len(self.ids) - pending :], *tokens]
        if len(together) > 1:
            self._state.checkpoint(temporary=True)
        elif self._state.layout.slots:
            interrupt = None
        if self.follower is None:
            logits = self._pass(together, [pending + n for n in outputs], interrupt)
        else:
            logits = self._followed_pass(together, pending, outputs, interrupt)
        self._pending = 0
        self.ids.extend(tokens)
        return logits

    def _pass(
        self, tokens: Sequence[int], outputs: Sequence[int], interrupt: threading.Event | None
    ) -> Logits:
        with self._rewound_on_failure():
            return self._passes.run(self.step(tokens, outputs), [self._state], interrupt)

    def _followed_pass(
        self,
        tokens: Sequence[int],
        pending: int,
        outputs: Sequence[int],
        interrupt: threading.Event | None,
    ) -> Logits:
        """Like `_pass`, of `pending` tokens and others, of which `outputs` are counted.

        A copy of the logits: those of the follower's guesses take their place in memory.
        """
        assert self.follower is not None
        step, states = self.step(tokens, range(pending, len(tokens))), [self._state]
        with self._rewound_on_failure():
            logits, rows = self._passes.run_with_rows(step, outputs, states, interrupt)
            self.follower.follow(len(self.ids), tokens[pending:], rows)
        return np.array(logits)

    @contextmanager
    def _rewound_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._rewind(len(self.ids) - self._pending)  # such a step leaves a partial state
            raise
