"""How much faster a model answers with a source of guesses, in turns with plain decoding."""

import statistics
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.events import Done
from lepton_cli.engine.model import Model
from quant.errors import LeptonError, UsageError


class Answers(Protocol):
    """What answers prompts: a model whose guesses are chosen, read from an empty context."""

    def __call__(self, ids: Sequence[int], generation: Generation) -> Done: ...


@dataclass(frozen=True, slots=True)
class Trial:
    """Prompts that are answered with and without guesses, in each round once."""

    prompts: Sequence[Sequence[int]]
    generation: Generation
    rounds: int


@dataclass(frozen=True, slots=True)
class Decoding:
    """What came of all prompts in a round; `seconds`: from the first token on."""

    tokens: int = 0
    seconds: float = 0.0
    drafted: int = 0
    accepted: int = 0
    checks: int = 0

    def plus(self, done: Done) -> "Decoding":
        stats = done.stats
        return Decoding(
            self.tokens + stats.generated_tokens,
            self.seconds + stats.decode_seconds,
            self.drafted + stats.guessed_tokens,
            self.accepted + stats.accepted_tokens,
            self.checks + stats.checks,
        )

    @property
    def rate(self) -> float:
        """Tokens per second."""
        return self.tokens / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Round:
    """The same answers without guesses, and with them."""

    plain: Decoding
    guessed: Decoding

    @property
    def speedup(self) -> float:
        return self.guessed.rate / self.plain.rate if self.plain.rate else 1.0


@dataclass(frozen=True, slots=True)
class Measured:
    """The rounds so far."""

    rounds: tuple[Round, ...]

    @property
    def drafted(self) -> int:
        return sum(each.guessed.drafted for each in self.rounds)

    @property
    def accepted(self) -> int:
        return sum(each.guessed.accepted for each in self.rounds)

    @property
    def share(self) -> float:
        """Of the drafted tokens, the accepted ones."""
        return self.accepted / self.drafted if self.drafted else 0.0

    @property
    def accepted_per_check(self) -> float:
        """The mean of the passes that ran draft tokens."""
        checks = sum(each.guessed.checks for each in self.rounds)
        return self.accepted / checks if checks else 0.0

    @property
    def rate(self) -> float:
        """Tokens per second, the median of the rounds."""
        return statistics.median(each.guessed.rate for each in self.rounds)

    @property
    def plain_rate(self) -> float:
        return statistics.median(each.plain.rate for each in self.rounds)

    @property
    def speedup(self) -> float:
        """The median of the rounds."""
        return statistics.median(each.speedup for each in self.rounds)

    @property
    def spread(self) -> float:
        """How far a round's speed-up is from the median, at most."""
        return max(abs(each.speedup - self.speedup) for each in self.rounds)

    @property
    def most(self) -> float:
        """The speed-up if guesses and their checks cost nothing: more is a fault of the clock."""
        tokens = sum(each.guessed.tokens for each in self.rounds)
        return tokens / (tokens - self.accepted)

    @property
    def least(self) -> float:
        """The speed-up, less what the rounds differ by: above 1 it pays."""
        return min(self.speedup, self.most) - self.spread


def measure(name: str, answer: Answers, trial: Trial) -> Iterator[Measured]:
    """The figures after each round; ends early where an answer was interrupted.

    A round before the first compiles kernels and finds out how many tokens to guess; it is not
    counted. Each prompt is answered without guesses and with them at once, so that a machine
    that slows down slows both. Raises LeptonError where an answer is not the same.
    """
    rounds = list[Round]()
    for number in range(trial.rounds + 1):
        last = _round(name, answer, trial)
        if last is None:
            return
        if number:
            rounds.append(last)
            yield Measured(tuple(rounds))


def _round(name: str, answer: Answers, trial: Trial) -> Round | None:
    """None if it was interrupted."""
    plain, guessed = Decoding(), Decoding()
    for prompt in trial.prompts:
        alone = answer(prompt, replace(trial.generation, draft_max=0))
        if alone.reason == "interrupted":
            return None
        helped = answer(prompt, trial.generation)
        if helped.reason == "interrupted":
            return None
        if helped.token_ids != alone.token_ids:
            message = f"the answer with {name} is another one than without"
            raise LeptonError(message, "please report it, with the names of the models")
        plain, guessed = plain.plus(alone), guessed.plus(helped)
    if plain.tokens <= len(trial.prompts):
        message = "the model ends its answers at once on this text"
        raise UsageError(message, "give another text, or other windows of it: -c N")
    return Round(plain, guessed)


def answers_of(model: Model, interrupt: threading.Event) -> Answers:
    """Reads each prompt from an empty context, the draft model too, as in a new chat."""

    def answer(ids: Sequence[int], generation: Generation) -> Done:
        model.window.clear()
        model.guessers.forget()
        *_, last = model.stream(ids, generation, interrupt)
        assert isinstance(last, Done), "a stream ends with Done"
        return last

    return answer
