"""Plans a batch: gives each row a key, which identifies its result, and a seed.

Both are hashes of the row's content and of the number of equal rows before it. So neither the order
of rows, nor how many are answered at once, nor an interruption changes an answer, and each of two
equal rows gets its own.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.jobs.asking import Ask
from lepton_cli.engine.jobs.rows import Row
from lepton_cli.engine.jobs.wording import Wording
from lepton_cli.engine.library.json_values import Plain, plain
from lepton_cli.engine.sampling.setting import changed, record
from quant.errors import LeptonError

DIGITS = 12  # hexadecimal digits of each part of a fingerprint
DIFFERENCES = (
    *("another model", "another prompt template", "other parameters"),
    "another CPU's instructions (LEPTON_CPU chooses them)",
)
POSITIONAL = ("max_tokens", "stop", "overflow", "ignore_eos", "constraint", "ban")
"""Settings that a fingerprint holds by position, without names; all others are held by name."""

DATED = re.compile(r"\b(strftime_now|date_string|datetime)\b")  # in a template that uses the date


@dataclass(frozen=True, slots=True)
class Recipe:
    """What all rows share. `setting` lists what else an answer depends on, e.g. cache types."""

    wording: Wording
    generation: Generation
    seed: int | None = 0  # None: a random one for each row
    thinking: bool = True
    template: str | None = None  # a chat template that replaces the model's own
    setting: tuple[str, ...] = ()
    arithmetic: str = ""  # see Model.arithmetic
    day: date | None = None  # for a chat template that uses it

    def fingerprint(self, identity: str) -> "Fingerprint":
        words = self.wording
        template: list[Plain] = [words.raw, self.thinking, self.template]
        if words.parse_special:
            template.append("parse-special")
        for text in (words.prompt, words.system):
            template.append(None if text is None else plain(text.parts))
        generation = self.generation
        unseeded = replace(generation.sampling, seed=None)  # the recipe's seed is used instead
        settings = [changed(unseeded), *_answer_settings(generation)]
        parameters: list[Plain] = [self.seed, *self.setting, *settings]
        template_digest, digest = digest_of(template)[:DIGITS], digest_of(parameters)[:DIGITS]
        return Fingerprint(identity[:DIGITS], template_digest, digest, self.arithmetic, self.day)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Digests of all that an answer depends on: model, prompt template, parameters, arithmetic.

    `day` is the date that a chat template uses.
    """

    model: str
    template: str
    parameters: str
    arithmetic: str
    day: date | None = None

    def __str__(self) -> str:
        day = "" if self.day is None else f"-{self.day:%Y%m%d}"
        return f"{self.model}-{self.template}-{self.parameters}-{self.arithmetic}{day}"

    @property
    def now(self) -> datetime | None:
        """The time for templates: midnight, so that the hour of day changes nothing."""
        return None if self.day is None else datetime.combine(self.day, datetime.min.time())

    def with_day_of(self, others: Iterable[str]) -> "Fingerprint":
        """Adopts the date of a stored fingerprint that is otherwise equal, so a batch resumed on
        another day continues unchanged."""
        mine = str(replace(self, day=None))
        for other in others if self.day else ():
            head, _, last = other.rpartition("-")
            day = _day(last)
            if head == mine and day is not None:
                return replace(self, day=day)
        return self

    def difference(self, other: str) -> str:
        """The first part in which another fingerprint differs, in words."""
        parts = zip(DIFFERENCES, str(self).split("-"), other.split("-"), strict=False)
        return next((words for words, mine, its in parts if mine != its), "another version")


@dataclass(frozen=True, slots=True)
class Job:
    """A row to answer; `error` is set if the row itself is invalid."""

    row: int
    key: str
    seed: int | None
    ask: Ask
    error: LeptonError | None = None


def plan(rows: Iterable[Row], recipe: Recipe, fingerprint: Fingerprint) -> list[Job]:
    seen = Counter[str]()
    return [_job(row, recipe, str(fingerprint), seen) for row in rows]


def _job(row: Row, recipe: Recipe, fingerprint: str, seen: Counter[str]) -> Job:
    ask, error = Ask(), None
    try:
        ask = recipe.wording.ask(row)
        content = digest_of([ask.content()])
    except LeptonError as wrong:
        ask, error = recipe.wording.failed(row.columns), wrong
        content = digest_of([row.source, row.columns])
    before = seen[content]
    seen[content] += 1
    seed = None if recipe.seed is None else int(digest_of([recipe.seed, content, before])[:8], 16)
    return Job(row.number, digest_of([fingerprint, content, before])[:32], seed, ask, error)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _answer_settings(how: Generation) -> list[Plain]:
    """The POSITIONAL settings, then all others by name if they differ from their defaults.

    So a new setting does not invalidate results that were produced without it.
    """
    limit = how.constraint
    constraint: Plain = None if limit is None else [limit.kind, limit.text]
    values = {**record(how), "constraint": constraint}
    later = {name: value for name, value in changed(how).items() if name not in POSITIONAL}
    return [*(values[name] for name in POSITIONAL), *([later] if later else [])]


def digest_of(parts: Sequence[Plain]) -> str:
    """64 hexadecimal digits."""
    text = json.dumps(list(parts), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
