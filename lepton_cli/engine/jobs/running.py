"""Runs a batch: answers rows, several at once, and passes on each result as it is ready."""

import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Protocol

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.decoding.scheduler import Outcome, Request
from lepton_cli.engine.decoding.tool_use import ToolCalling
from lepton_cli.engine.events import FinishReason
from lepton_cli.engine.jobs.openai.responses import Responses
from lepton_cli.engine.jobs.parameters import own_generation
from lepton_cli.engine.jobs.planning import Fingerprint, Job, Recipe
from lepton_cli.engine.jobs.records import Record, answer_record, error_record, response_record
from lepton_cli.engine.text.tokenizer import Tokenizer
from quant.errors import LeptonError

if TYPE_CHECKING:  # a run over texts has no template
    from lepton_cli.engine.text.template import ChatTemplate

SEEDS = 1 << 32

TakeRecord = Callable[[Job, Record], None]
"""Receives the record of each finished row; a LeptonError that it raises ends the run."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The cluster waits for `what` ("worker" or "scheduler"); empty: it continues.

    `cure` is a command that helps; the run fails after waiting for `seconds`.
    """

    what: str
    cure: str
    seconds: float


class BatchModel(Protocol):
    """The interface of a model for batches: in this process, or on the workers of a cluster."""

    @property
    def name(self) -> str: ...

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def template(self) -> "ChatTemplate": ...

    def batch(
        self,
        requests: Iterable[Request],
        jobs: int | None = None,
        interrupt: threading.Event | None = None,
    ) -> Iterator[Outcome | Waiting]: ...


@dataclass(slots=True)
class Tally:
    """The progress of a run."""

    started: int = 0
    answered: int = 0
    failed: int = 0
    generated_tokens: int = 0
    waiting: Waiting | None = None

    @property
    def finished(self) -> int:
        return self.answered + self.failed

    @property
    def in_flight(self) -> int:
        return self.started - self.finished


@dataclass(slots=True)
class Asked:
    """A row that is being answered: its outcomes, by choice, as they come."""

    job: Job
    seed: int
    outcomes: dict[int, Outcome] = field(default_factory=dict)


class Run:
    """One run over the rows that are to be answered."""

    def __init__(
        self, model: BatchModel, recipe: Recipe, fingerprint: Fingerprint, jobs: Sequence[Job]
    ) -> None:
        """Setting `last` starts no more rows; setting `stop` also ends those in progress."""
        self.tally, self.last, self.stop = Tally(), threading.Event(), threading.Event()
        self._model, self._recipe, self._fingerprint = model, recipe, str(fingerprint)
        self._now = fingerprint.now
        self._calling = ToolCalling(model)
        self._jobs, self._responses = jobs, Responses(model, self._calling)
        self._asked = dict[int, tuple[Asked, int]]()  # by the request's key; which choice it is

    def results(self, at_once: int | None, take: TakeRecord) -> Iterator[Tally]:
        """Yields the tally after each change. Rows interrupted by `stop` are not recorded."""
        requests = self._requests(take)
        for event in self._model.batch(requests, at_once, self.stop):
            if isinstance(event, Waiting):
                self.tally.waiting = event if event.what else None
            else:
                self._end(event, take)
            yield self.tally

    def _requests(self, take: TakeRecord) -> Iterator[Request]:
        """Yields the requests of valid rows, one a choice; records the error of others."""
        keys = count()
        for job in self._jobs:
            if self.last.is_set():
                return
            self.tally.started += 1
            try:
                requests = self._choices(job, keys)
            except LeptonError as error:
                self._fail(job, error, take)
            else:
                yield from requests

    def _choices(self, job: Job, keys: Iterator[int]) -> list[Request]:
        """A request for each choice: the same prompt, with seeds that follow one another."""
        if job.error is not None:
            raise job.error
        generation = self._generation(job)
        seed, ids = generation.sampling.seed or 0, tuple(self._ids(job, generation))
        asked, requests = Asked(job, seed), list[Request]()
        for choice in range(job.ask.choices):
            sampling = replace(generation.sampling, seed=(seed + choice) % SEEDS)
            request = Request(next(keys), ids, replace(generation, sampling=sampling))
            self._asked[request.key] = asked, choice
            requests.append(request)
        return requests

    def _generation(self, job: Job) -> Generation:
        base, ask = self._recipe.generation, job.ask
        seeded = replace(base.sampling, seed=job.seed)
        base = replace(base, sampling=seeded, split_reasoning=bool(ask.messages))
        generation = replace(own_generation(base, ask.given), logprobs=ask.logprobs)
        if ask.constraint is not None:
            generation = replace(generation, constraint=ask.constraint)
        generation = self._calling.asked(generation, ask.use)
        if generation.sampling.seed is not None:
            return generation
        fresh = replace(generation.sampling, seed=secrets.randbits(32))
        return replace(generation, sampling=fresh)

    def _ids(self, job: Job, generation: Generation) -> Sequence[int]:
        model, ask = self._model, job.ask
        if ask.prompt is not None:
            special = self._recipe.wording.parse_special
            return model.tokenizer.encode(ask.prompt, parse_special=special)
        segments = model.template.render(
            ask.messages,
            enable_thinking=self._recipe.thinking,
            variables=generation.template_variables,
            now=self._now,
        )
        return model.tokenizer.encode_segments(segments)

    def _end(self, outcome: Outcome, take: TakeRecord) -> None:
        asked, choice = self._asked.pop(outcome.key)
        asked.outcomes[choice] = outcome
        if outcome.done is not None and outcome.done.reason != "interrupted":
            self.tally.generated_tokens += outcome.done.stats.generated_tokens
        if len(asked.outcomes) == asked.job.ask.choices:
            self._record(asked, [asked.outcomes[choice] for choice in sorted(asked.outcomes)], take)

    def _record(self, asked: Asked, outcomes: Sequence[Outcome], take: TakeRecord) -> None:
        """Records a row of which all choices have ended: an answer, or the first error."""
        job = asked.job
        for outcome in outcomes:
            if outcome.done is None:
                self._fail(job, outcome.error or LeptonError("the row was not answered"), take)
                return
            if outcome.done.reason == "interrupted":
                return
            if outcome.done.unmet is not None:
                self._fail(job, outcome.done.unmet, take, outcome.done.reason)
                return
        if job.ask.shape == "lepton":
            record = answer_record(job, outcomes[0], asked.seed, self._fingerprint)
        else:
            body = self._responses.body(job.key, job.ask, outcomes, self._fingerprint)
            record = response_record(job, body, asked.seed, self._fingerprint)
        take(job, record)
        self.tally.answered += 1

    def _fail(
        self, job: Job, error: LeptonError, take: TakeRecord, reason: FinishReason | None = None
    ) -> None:
        take(job, error_record(job, error, self._fingerprint, reason))
        self.tally.failed += 1
