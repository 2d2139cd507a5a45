"""A model with an encoder: it reads a prompt at once, then the decoder answers token by token.

A sequence is its prompt, the start token and the answer, one line of positions for the engine. The
programs share a sequence's state: the encoder leaves there what the decoder's attention reads of
the prompt, and the decoder counts positions from the start token.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from ops.interface import Step, Weight
from ops.logits import Logits
from ops.needs import Needs
from ops.profile import OperatorTime
from ops.program import Program
from ops.runners.runner import Runner
from ops.state.blocks import BlockPool
from ops.state.sequence import SequenceState


def open_parts(program: Program, open_one: Callable[[Program], Runner]) -> Runner:
    """Opens a program, and its encoder if it has one."""
    if program.encoder is None:
        return open_one(program)
    parts = [open_one(part) for part in program.parts]
    return EncodedRunner(parts[0], parts[1], program.encoder.start)


def needs_of_parts(program: Program, needs: Callable[[Program], Needs]) -> Needs:
    """The needs of a program, and of its encoder if it has one; what both keep counts once."""
    own = needs(program)
    if program.encoder is None:
        return own
    return replace(needs(program.encoder.program), positions=()) + own


class EncodedRunner:
    """Runs the encoder on the prompts that a step begins, then the decoder on its other tokens."""

    def __init__(self, encoder: Runner, decoder: Runner, start: int) -> None:
        """A prompt ends before the first token `start`."""
        assert encoder.pool.layout == decoder.pool.layout, "they share the states"
        self._encoder, self._decoder, self._start = encoder, decoder, start
        self.digest = encoder.digest + decoder.digest

    @property
    def pool(self) -> BlockPool:
        return self._decoder.pool

    def run(  # (O, V)
        self, step: Step, states: Sequence[SequenceState], interrupt: threading.Event | None = None
    ) -> Logits:
        """Prompts are whole, with the start token behind them; outputs are none of their tokens.

        Raises Interrupted, OutOfMemoryError.
        """
        self._encode(step, states, interrupt)
        return self._decoder.run(_answers(step, states), states, interrupt)

    def profile(self, step: Step, states: Sequence[SequenceState]) -> list[OperatorTime]:
        """Of the decoder, behind a prompt. Raises UsageError, OutOfMemoryError."""
        return self._decoder.profile(_answers(step, states), states)

    def room(self) -> int:
        """How many more blocks of the KV cache fit into memory."""
        return self._decoder.room()

    def reread(self, vectors: Iterable[Weight]) -> None:
        """See Runner."""
        vectors = list(vectors)
        self._encoder.reread(vectors)
        self._decoder.reread(vectors)

    def close(self) -> None:
        self._encoder.close()
        self._decoder.close()

    def _encode(
        self, step: Step, states: Sequence[SequenceState], interrupt: threading.Event | None
    ) -> None:
        """Runs the encoder on the prompts of the sequences that begin."""
        begun, prompts = list[SequenceState](), list[slice]()
        for run, state in zip(step.runs(), states, strict=True):
            if step.positions[run.start] == 0:
                [places] = np.nonzero(step.tokens[run] == self._start)
                assert len(places) and places[0], "a prompt, then the token that begins the answer"
                begun.append(state)
                prompts.append(slice(run.start, run.start + int(places[0])))
        if begun:
            self._encoder.run(_step_of(step, prompts), begun, interrupt)
        for state, prompt in zip(begun, prompts, strict=True):
            state.prompt = prompt.stop - prompt.start


def _answers(step: Step, states: Sequence[SequenceState]) -> Step:
    """The step of the decoder: tokens that no encoder reads, counted from the start token."""
    runs, prompts = step.runs(), tuple(state.prompt for state in states)
    places = [
        slice(run.start + max(0, prompt - int(step.positions[run.start])), run.stop)
        for run, prompt in zip(runs, prompts, strict=True)
    ]
    own = _step_of(step, places)
    kept = np.concatenate([np.arange(place.start, place.stop) for place in places])
    assert len(np.setdiff1d(step.outputs, kept)) == 0, "an encoder gives no logits"
    before = np.repeat(prompts, [place.stop - place.start for place in places])
    return replace(
        own,
        positions=(own.positions - before).astype(np.int32),
        outputs=np.searchsorted(kept, step.outputs).astype(np.int32),
        prompts=prompts,
    )


def _step_of(step: Step, places: Sequence[slice]) -> Step:
    """Some tokens of each sequence, without outputs."""
    tokens, positions = (
        np.concatenate([each[place] for place in places]) for each in (step.tokens, step.positions)
    )
    ends = np.cumsum([place.stop - place.start for place in places])
    return Step(tokens, positions, np.zeros(0, np.int32), (0, *ends[:-1].tolist()))
