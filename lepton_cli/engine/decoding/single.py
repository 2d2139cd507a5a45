"""One answer in the model's context window: prefill, then decoding token by token."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from lepton_cli.engine.decoding.answer import Answer
from lepton_cli.engine.decoding.speculation import Speculation
from lepton_cli.engine.decoding.window import Window
from lepton_cli.engine.events import Event, Prefill, Stats
from lepton_cli.engine.text.tokenizer import Tokenizer
from lepton_cli.engine.text.tokenizer.vocabulary import TokenType
from ops.interface import Interrupted
from ops.logits import RowLogits

DRAWN_AHEAD = 4
"""Tokens that a backend draws in a row before they are shown; few, to avoid visible bursts."""

FIRST_TURNS, LAST_TURNS = 4, 8  # control tokens of a prompt that may be worth a checkpoint


def turns_of(prompt: Sequence[int], tokenizer: Tokenizer) -> list[int]:
    """Where turns begin, for recurrent layers: the first ones and the last ones.

    The first end what all chats have in common, the last what an undo leaves.
    """
    known = {token for token in prompt if token < tokenizer.vocab_size}  # of the table's rows
    control = {token for token in known if tokenizer.token_type(token) is TokenType.CONTROL}
    begins = [n for n, token in enumerate(prompt) if token in control]
    return [*begins[:FIRST_TURNS], *begins[-LAST_TURNS:]]


def answer_events(
    answer: Answer,
    prompt: Sequence[int],
    window: Window,
    *,
    shift: int | None,
    dropped: int,
    speculation: Speculation | None,
    interrupt: threading.Event | None,
    turns: Sequence[int] = (),
) -> Iterator[Event]:
    """Prefill, Text and Reasoning events as they come, and Done at the end.

    A full window ends the answer, or is shifted and keeps `shift` tokens at its start. `dropped` is
    the number of prompt tokens that did not fit; `turns` are positions in the prompt to which later
    prompts may go back.
    """
    cached, begin = window.reuse(prompt), time.perf_counter()
    owner, read = window.owner, begin
    try:
        for done in window.prefill(prompt, interrupt, marks=turns):
            yield Prefill(done, len(prompt))
        read = time.perf_counter()
        result = _PassResult([window.logits])
        while answer.reason is None:
            accepted = taken = 0
            for row, guess in zip_longest(result.rows, result.guesses):
                window.check(owner)
                if interrupt is not None and interrupt.is_set():
                    answer.reason = "interrupted"
                    break
                yield from answer.draw(row)
                if answer.reason is not None or answer.drawn[-1] != guess:
                    break
                accepted += 1
            for token in result.drawn:
                window.check(owner)
                taken += 1
                yield from answer.take(token)
                if answer.reason is not None:
                    break
            window.check(owner)
            window.drop_last(len(result.guesses) - accepted + len(result.drawn) - taken)
            if speculation and result.seconds:
                speculation.update(len(result.guesses), accepted, result.seconds)
            if answer.reason is None and interrupt is not None and interrupt.is_set():
                answer.reason = "interrupted"
            if answer.reason is None:
                result = _next_pass(answer, window, shift, speculation, interrupt)
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
        context_used=len(window.ids),
        context_size=window.size,
        guessed_tokens=speculation.guessed if speculation else 0,
        accepted_tokens=speculation.accepted if speculation else 0,
        checks=speculation.checks if speculation else 0,
    )
    yield answer.done(stats)


@dataclass(frozen=True, slots=True)
class _PassResult:
    """The result of running the last token: logits of it and of the guesses after it, or tokens
    that the backend drew by itself."""

    rows: Iterable[RowLogits] = ()
    guesses: Sequence[int] = ()
    drawn: Sequence[int] = ()
    seconds: float = 0.0  # of a pass that speculation was asked about


def _next_pass(
    answer: Answer,
    window: Window,
    shift: int | None,
    speculation: Speculation | None,
    interrupt: threading.Event | None,
) -> _PassResult:
    """Runs the last drawn token and guesses after it, if the window has room."""
    if len(window.ids) >= window.size:
        if shift is None:
            answer.reason = "context"
            return _PassResult()
        window.shift(shift, interrupt)
    token, guesses, begin = answer.drawn[-1], list[int](), time.perf_counter()
    if speculation:
        room = min(window.max_batch, answer.tokens_left) - 1
        guesses = speculation.guess([*window.ids, token], int(room))
    drawn = [] if guesses else _drawn_ahead(answer, window)
    rows = () if drawn else window.append([token, *guesses], interrupt)
    seconds = time.perf_counter() - begin if speculation else 0.0
    return _PassResult(rows, guesses, drawn, seconds)


def _drawn_ahead(answer: Answer, window: Window) -> list[int]:
    """The next tokens, drawn by the backend; empty if it cannot draw them for this answer."""
    drawer = window.drawer
    plan = answer.plan(drawer.vocabulary) if drawer else None
    if drawer is None or plan is None or plan.count > drawer.most_drawn:
        return []
    count = int(min(DRAWN_AHEAD, window.size - len(window.ids), answer.tokens_left))
    return window.draw(answer.drawn[-1], plan, answer.random_numbers(count))
