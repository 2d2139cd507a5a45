"""One answer in the model's window: the prompt is read, then token after token is entered."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from lepton_cli.engine.decoding.answer import Answer
from lepton_cli.engine.decoding.speculation import Speculation
from lepton_cli.engine.decoding.window import Positions
from lepton_cli.engine.events import Event, Prefill, Stats
from ops.interface import Interrupted
from ops.logits import RowLogits

DRAWN_AHEAD = 4
"""Tokens that a backend draws by itself before they are shown: a few, for they come in bursts."""


def answer_events(
    answer: Answer,
    prompt: Sequence[int],
    positions: Positions,
    *,
    shift: int | None,
    dropped: int,
    speculation: Speculation | None,
    interrupt: threading.Event | None,
) -> Iterator[Event]:
    """Prefill, Text and Reasoning events as they come, and Done at the end.

    A full window ends the answer, or is shifted so that `shift` tokens stay at its start. `dropped`
    is what the prompt had more before it was fitted.
    """
    cached, begin = positions.reuse(prompt), time.perf_counter()
    turn, read = positions.turn, begin
    try:
        for done in positions.prefill(prompt, interrupt):
            yield Prefill(done, len(prompt))
        read = time.perf_counter()
        entered = _Entered([positions.logits])
        while answer.reason is None:
            right = taken = 0
            for row, guess in zip_longest(entered.rows, entered.guesses):
                positions.check(turn)
                if interrupt is not None and interrupt.is_set():
                    answer.reason = "interrupted"
                    break
                yield from answer.draw(row)
                if answer.reason is not None or answer.drawn[-1] != guess:
                    break
                right += 1
            for token in entered.drawn:
                positions.check(turn)
                taken += 1
                yield from answer.take(token)
                if answer.reason is not None:
                    break
            positions.check(turn)
            positions.forget(len(entered.guesses) - right + len(entered.drawn) - taken)
            if speculation:
                speculation.learn(len(entered.guesses), right)
            if answer.reason is None and interrupt is not None and interrupt.is_set():
                answer.reason = "interrupted"
            if answer.reason is None:
                entered = _enter(answer, positions, shift, speculation, interrupt)
    except Interrupted:
        answer.reason = "interrupted"
    yield from answer.finish()
    end = time.perf_counter()
    stats = Stats(
        prompt_tokens=len(prompt),
        cached_tokens=cached,
        dropped_tokens=dropped,
        generated_tokens=len(answer.drawn),
        prefill_seconds=(read if answer.drawn else end) - begin,
        decode_seconds=end - read if answer.drawn else 0.0,
        context_used=len(positions.ids),
        context_size=positions.size,
        guessed_tokens=speculation.guessed if speculation else 0,
        accepted_tokens=speculation.right if speculation else 0,
    )
    yield answer.done(stats)


@dataclass(frozen=True, slots=True)
class _Entered:
    """What became of the token last drawn: its logits and those behind right guesses, or tokens
    that the backend has drawn by itself."""

    rows: Iterable[RowLogits] = ()
    guesses: Sequence[int] = ()
    drawn: Sequence[int] = ()


def _enter(
    answer: Answer,
    positions: Positions,
    shift: int | None,
    speculation: Speculation | None,
    interrupt: threading.Event | None,
) -> _Entered:
    """Enters the token last drawn, and guesses behind it, if the window has room."""
    if len(positions.ids) >= positions.size:
        if shift is None:
            answer.reason = "context"
            return _Entered()
        positions.shift(shift, interrupt)
    token, guesses = answer.drawn[-1], list[int]()
    if speculation:
        room = min(positions.most_at_once, answer.left) - 1
        guesses = speculation.guess([*positions.ids, token], int(room))
    drawn = [] if guesses else _drawn_ahead(answer, positions)
    if drawn:
        return _Entered(drawn=drawn)
    return _Entered(positions.enter([token, *guesses], interrupt), guesses)


def _drawn_ahead(answer: Answer, positions: Positions) -> list[int]:
    """The next tokens, where the backend can draw them as this answer asks."""
    drawer = positions.drawer
    plan = answer.plan(drawer.vocabulary) if drawer else None
    if drawer is None or plan is None or plan.count > drawer.most_drawn:
        return []
    count = int(min(DRAWN_AHEAD, positions.size - len(positions.ids), answer.left))
    return positions.draw(answer.drawn[-1], plan, answer.numbers(count))
