"""The cost of a constraint, and the gain of speculative decoding, in time per token.

    python benchmarks/answers.py MODEL.gguf

A form: strings in a JSON array, beside free text of as many tokens. Guessing ahead: an answer that
repeats its prompt token by token, with guesses and without; what a model of random weights would
never say is dictated, but its tokens are drawn as always first. Sides in turn; medians of rounds.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from compare import wait_for_quiet
from numpy.typing import NDArray

from lepton_cli.engine.constraints.constraint import find_constraint
from lepton_cli.engine.decoding.answer import Answer
from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.decoding.single import answer_events
from lepton_cli.engine.decoding.speculation import (
    DoublingPace,
    PromptLookup,
    Source,
    Speculation,
)
from lepton_cli.engine.events import Done, Stats
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.model import Model, open_model
from lepton_cli.engine.sampling.sampler import Sampler, Sampling
from ops.machine import cpu_name, default_threads

TEXT = (
    "The first rule of the garden is that nobody waters the stones. The second rule is that the "
    "stones, if they are watered, must be counted before noon. The third rule is that whoever "
    "counts the stones writes the number on the gate, and that nobody rubs it out again. "
)
STRINGS = json.dumps({"type": "array", "items": {"type": "string", "minLength": 40}})
GREEDY = Sampling(temperature=0)


def answered(model: Model, prompt: str, wanted: Generation) -> Stats:
    *_, done = model.stream(model.tokenizer.encode(prompt), wanted)
    assert isinstance(done, Done)
    return done.stats


class Dictated(Sampler):
    """A sampler that draws, but returns given tokens."""

    def __init__(self, model: Model, tokens: Sequence[int]) -> None:
        super().__init__(GREEDY, model.tokenizer, ignore_eos=True)
        self._tokens = iter(tokens)

    def sample(self, logits: NDArray[np.float32]) -> int:
        super().sample(logits)
        return next(self._tokens)


def repeated(model: Model, most: int) -> Stats:
    """Repeats the prompt's text twice, with up to `most` draft tokens per pass."""
    ids = model.tokenizer.encode(TEXT)
    prompt, answer = [*ids, *ids], ids * 2
    wanted = Generation(GREEDY, len(answer), ignore_eos=True)
    speculation = Speculation([Source(PromptLookup(), DoublingPace(most))]) if most else None
    said = Answer(prompt, model.tokenizer, Dictated(model, answer), wanted, None)
    *_, done = answer_events(
        said,
        prompt,
        model.window,
        shift=None,
        dropped=0,
        speculation=speculation,
        interrupt=None,
    )
    assert isinstance(done, Done)
    return done.stats


def in_turn(rounds: int, sides: Sequence[Callable[[], Stats]]) -> list[float]:
    """Milliseconds per token of each side; the first round warms up."""
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds + 1):
        for side, answer in zip(times, sides, strict=True):
            wait_for_quiet()
            stats = answer()
            side.append(1e3 * stats.decode_seconds / stats.generated_tokens)
    return [statistics.median(side[1:]) for side in times]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("-t", "--threads", type=int, default=default_threads().count)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    free = Generation(GREEDY, 100, ignore_eos=True, draft_max=0)
    formed = Generation(GREEDY, 100, draft_max=0, constraint=find_constraint(json_schema=STRINGS))
    most = Generation().draft_max
    with open_model(given.model, LoadOptions("cpu", given.threads, ctx=2048)) as model:
        forms = [partial(answered, model, TEXT, wanted) for wanted in (free, formed)]
        plain, kept = in_turn(given.rounds, forms)
        guessing = [partial(repeated, model, count) for count in (0, most)]
        alone, ahead = in_turn(given.rounds, guessing)
        stats = repeated(model, most)
    print(
        f"{cpu_name()}, {given.threads} threads, {given.model.name}, {given.rounds} rounds in turn"
    )
    print("\n| answer | ms a token | beside |\n|---|---:|---|")
    print(f"| free | {plain:.2f} | |")
    print(f"| in a JSON schema | {kept:.2f} | {100 * (kept / plain - 1):+.1f} % |")
    print(f"| repeats its prompt | {alone:.2f} | |")
    right = f"{stats.accepted_tokens} of {stats.guessed_tokens} guesses right"
    print(f"| the same, guessing ahead | {ahead:.2f} | {alone / ahead:.1f}x, {right} |")


if __name__ == "__main__":
    main()
