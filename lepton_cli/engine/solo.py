"""One answer in the model's window: the prompt is read, then token after token is entered."""

import threading
import time
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from lepton_cli.engine.answer import Answer
from lepton_cli.engine.events import Event, Prefill, Stats
from lepton_cli.engine.positions import Logits, Positions
from lepton_cli.engine.speculation import Speculation
from ops.interface import Interrupted


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
        rows, guesses = positions.logits[None], list[int]()
        while answer.reason is None:
            right = 0
            for row, guess in zip_longest(rows, guesses):
                positions.check(turn)
                if interrupt is not None and interrupt.is_set():
                    answer.reason = "interrupted"
                    break
                yield from answer.draw(row)
                if answer.reason is not None or answer.drawn[-1] != guess:
                    break
                right += 1
            positions.check(turn)
            positions.forget(len(guesses) - right)
            if speculation:
                speculation.learn(len(guesses), right)
            if answer.reason is None:
                rows, guesses = _enter(answer, positions, shift, speculation, interrupt)
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


def _enter(
    answer: Answer,
    positions: Positions,
    shift: int | None,
    speculation: Speculation | None,
    interrupt: threading.Event | None,
) -> tuple[Logits, list[int]]:
    """Enters the token last drawn, and guesses behind it, if the window has room."""
    if len(positions.ids) >= positions.size:
        if shift is None:
            answer.reason = "context"
            return positions.logits[None], []
        positions.shift(shift, interrupt)
    token, guesses = answer.drawn[-1], list[int]()
    if speculation:
        room = min(positions.most_at_once, answer.left) - 1
        guesses = speculation.guess([*positions.ids, token], int(room))
    return positions.enter([token, *guesses], interrupt), guesses
