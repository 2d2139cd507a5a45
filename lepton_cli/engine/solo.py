"""One answer in the model's window: the prompt is read, then token after token is entered."""

import threading
import time
from collections.abc import Iterator, Sequence

from lepton_cli.engine.answer import Answer
from lepton_cli.engine.events import Done, Event, Prefill, Stats
from lepton_cli.engine.positions import Positions
from ops.interface import Interrupted


def answer_events(
    answer: Answer,
    prompt: Sequence[int],
    positions: Positions,
    *,
    shift: int | None,
    dropped: int,
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
        while answer.reason is None:
            if interrupt is not None and interrupt.is_set():
                raise Interrupted
            positions.check(turn)
            yield from answer.draw(positions.logits)
            if answer.reason is None and len(positions.ids) >= positions.size:
                if shift is None:
                    answer.reason = "context"
                else:
                    positions.shift(shift, interrupt)
            if answer.reason is None:
                positions.enter(answer.drawn[-1], interrupt)
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
    )
    yield Done(answer.reason, answer.stop_string, tuple(answer.drawn), stats)
