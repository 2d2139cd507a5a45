"""What a model's own next-token head gains in decoding, by the share of its guesses that are right.

    python benchmarks/shapes.py qwen35-0.8b-head model.gguf --type Q4_K_M
    python benchmarks/heads.py model.gguf

The weights are random, so the answer is dictated, and the head's guesses, which it has taken its
time for, are replaced by right and wrong ones. Sides in turn; medians of the rounds' ratios.
"""

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from answers import GREEDY, Dictated
from compare import wait_for_quiet

from lepton_cli.engine.decoding.answer import Answer
from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.decoding.next_token import NextTokens
from lepton_cli.engine.decoding.single import answer_events
from lepton_cli.engine.decoding.speculation import MeasuredPace, Source, Speculation
from lepton_cli.engine.events import Done, Stats
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.model import Model, open_model
from ops.machine import cpu_name, default_threads

SHARES = (0.0, 0.6, 0.8, 0.9, 1.0)


@dataclass
class Graded:
    """Guesses of which each is right with a given probability, at the head's own cost."""

    head: NextTokens
    text: Sequence[int]
    share: float
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))

    def guess(self, ids: Sequence[int], most: int) -> list[int]:
        count = len(self.head.guess(ids, most, 0.0))
        right = self.text[len(ids) : len(ids) + count]
        is_right = self.random.random(len(right)) < self.share
        return [token if good else token ^ 1 for token, good in zip(right, is_right, strict=True)]


def said(
    model: Model, prompt: Sequence[int], answer: Sequence[int], guesses: Source | None
) -> Stats:
    wanted = Generation(GREEDY, len(answer), ignore_eos=True)
    model.window.follower = guesses.guesser.head if guesses else None
    *_, done = answer_events(
        Answer(prompt, model.tokenizer, Dictated(model, answer), wanted, None),
        prompt,
        model.window,
        shift=None,
        dropped=0,
        speculation=Speculation([guesses]) if guesses else None,
        interrupt=None,
    )
    assert isinstance(done, Done)
    return done.stats


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("-t", "--threads", type=int, default=default_threads().count)
    parser.add_argument("-n", "--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    options = LoadOptions("cpu", given.threads, ctx=2048, spec_types=("draft-mtp",))
    text = np.random.default_rng(2).integers(1000, 9000, 64 + given.tokens).tolist()
    prompt, answer = text[:64], text[64:]
    with open_model(given.model, options) as model:
        head = model._guessers.head
        assert head is not None
        print(f"{cpu_name()}, {given.threads} threads, {given.model.name}")
        print("\n| right guesses | speed beside no guesses | rounds | guessed, accepted |")
        print("|---:|---:|---|---|")
        for share in SHARES:
            pace, ratios = MeasuredPace(), list[float]()
            for _ in range(given.rounds + 1):
                wait_for_quiet()
                plain = said(model, prompt, answer, None).decode_seconds
                source = Source(Graded(head, text, share), pace)
                stats = said(model, prompt, answer, source)
                ratios.append(plain / stats.decode_seconds)
            low, high = min(ratios[1:]), max(ratios[1:])
            counts = f"{stats.guessed_tokens}, {stats.accepted_tokens} of {len(answer)}"
            median = statistics.median(ratios[1:])
            print(
                f"| {share:.0%} | {median:.2f}x | {low:.2f} to {high:.2f} | {counts} |", flush=True
            )


if __name__ == "__main__":
    main()
