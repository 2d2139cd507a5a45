"""Multiple choice: which of several endings of a text a model finds most likely.

Two scores, as llama-perplexity and other tools have them: an ending's log-probability, which is
the sum over its tokens, and its mean over the tokens, which does not favour short endings. An
ending's tokens are those behind what all endings of the question have in common.
"""

import string
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lepton_cli.engine.decoding.window import common_prefix
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.loss.estimates import Estimate, Moments, Scores
from lepton_cli.engine.loss.perplexity import window_losses
from lepton_cli.engine.loss.windows import TokenWindow
from lepton_cli.engine.model import Model
from lepton_cli.engine.text.tokenizer import Tokenizer
from ops.interface import Interrupted
from quant.errors import UsageError

PROMPTS = ("prompt", "context", "ctx", "question")
ENDINGS = ("choices", "endings", "options")
ANSWERS = ("answer", "label", "gold")
EXAMPLE = '{"prompt": "The sky is", "choices": ["blue", "loud"], "answer": 0}'


@dataclass(frozen=True, slots=True)
class Question:
    """A text, its possible endings, and the number of the right one."""

    prompt: str
    choices: tuple[str, ...]
    answer: int

    @classmethod
    def of(cls, columns: Mapping[str, Plain]) -> "Question":
        """Of a row; the answer is a number from 0, a letter from A, or the choice's text.

        Raises UsageError.
        """
        prompt, choices = _column(columns, PROMPTS), _column(columns, ENDINGS)
        if not isinstance(prompt, str):
            raise UsageError(f"the prompt is {prompt!r:.40}, not a text", EXAMPLE)
        listed = choices if isinstance(choices, list) else []
        texts = [each for each in listed if isinstance(each, str)]
        if len(texts) < max(2, len(listed)):
            raise UsageError(f"the choices are {choices!r:.40}, not a list of texts", EXAMPLE)
        if len(set(texts)) < len(texts):
            raise UsageError("two of the choices are equal", "leave one of them out")
        return cls(prompt, tuple(texts), _answer(_column(columns, ANSWERS), texts))


def _column(columns: Mapping[str, Plain], names: Sequence[str]) -> Plain:
    found = next((name for name in names if name in columns), None)
    if found is None:
        raise UsageError(f"there is no {names[0]!r} (or {', '.join(names[1:])})", EXAMPLE)
    return columns[found]


def _answer(given: Plain, choices: Sequence[str]) -> int:
    number = given
    if isinstance(given, str):
        letters = string.ascii_uppercase[: len(choices)]
        if given in choices:
            number = choices.index(given)
        elif given.isascii() and given.isdigit():
            number = int(given)
        elif len(given) == 1 and given.upper() in letters:
            number = letters.index(given.upper())
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(choices):
        message = f"the answer is {given!r:.40}, of {counted(len(choices), 'choice')}"
        raise UsageError(message, "give its number from 0, its letter or its text")
    return number


@dataclass(frozen=True, slots=True)
class EncodedQuestion:
    """The tokens of each choice's whole text, those of the endings from `first` on."""

    choices: tuple[tuple[int, ...], ...]
    first: int
    answer: int

    @property
    def longest(self) -> int:
        return max(map(len, self.choices))


def encode(question: Question, tokenizer: Tokenizer) -> EncodedQuestion:
    """With one space between a prompt and a choice, unless there is white space already.

    Raises UsageError where a choice is the beginning of another one.
    """
    texts = []
    for choice in question.choices:
        apart = question.prompt[-1:].isspace() or choice[:1].isspace() or not question.prompt
        texts.append(question.prompt + ("" if apart else " ") + choice)
    ids = [tokenizer.encode(text) for text in texts]
    if tokenizer.adds_eos:
        ids = [each[:-1] for each in ids]
    first = min(common_prefix(ids[0], each) for each in ids[1:])
    if first == 0 or any(len(each) <= first for each in ids):
        message = f"a choice is empty, or another begins with it: {question.choices!r:.60}"
        raise UsageError(message, "give choices of which none begins with another")
    return EncodedQuestion(tuple(map(tuple, ids)), first, question.answer)


@dataclass(frozen=True, slots=True)
class Choices:
    """How many of the first `done` of `total` questions were answered rightly.

    `accuracy` by an ending's log-probability, `normalized` by its mean over the tokens.
    """

    done: int
    total: int
    read: int  # tokens
    seconds: float
    accuracy: Estimate
    normalized: Estimate

    @property
    def rate(self) -> float:
        """Tokens per second."""
        return self.read / self.seconds if self.seconds else 0.0


def measure_choices(
    model: Model, questions: Sequence[EncodedQuestion], interrupt: threading.Event | None = None
) -> Iterator[Choices]:
    """The figures after each question; ends early if `interrupt` is set. Raises LeptonError."""
    sums, means = Moments(), Moments()
    begun, read = time.perf_counter(), 0
    for number, question in enumerate(questions, 1):
        try:
            losses = [_losses(model, question, ids, interrupt) for ids in question.choices]
        except Interrupted:
            return
        sums.add(_right([float(each.sum()) for each in losses], question))
        means.add(_right([float(each.mean()) for each in losses], question))
        read += sum(map(len, question.choices))
        seconds = time.perf_counter() - begun
        yield Choices(number, len(questions), read, seconds, sums.mean, means.mean)


def _losses(
    model: Model,
    question: EncodedQuestion,
    ids: tuple[int, ...],
    interrupt: threading.Event | None,
) -> Scores:
    return window_losses(model, TokenWindow(ids, question.first, 0), interrupt, reuse=True)


def _right(losses: Sequence[float], question: EncodedQuestion) -> Scores:
    return np.array([float(int(np.argmin(losses)) == question.answer)])
