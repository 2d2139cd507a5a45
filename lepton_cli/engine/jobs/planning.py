"""What is to be done: a key for each row, which finds its answer again, and a seed of its own.

Both come from what the row asks and from how many rows before it ask the very same; so neither the
order of the rows, nor how many are answered at once, nor a stop in between changes an answer, and
of two equal rows each gets its own.
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

DIGITS = 12  # hexadecimal, of each part of a fingerprint
DIFFERENCES = (
    *("another model", "another prompt template", "other parameters"),
    "another CPU's instructions (LEPTON_CPU chooses them)",
)
PLACED = ("max_tokens", "stop", "overflow", "ignore_eos", "constraint", "ban")
"""Settings that a fingerprint holds by place, without names; all others are held by name."""

DATED = re.compile(r"\b(strftime_now|date_string|datetime)\b")  # in a template that tells the date


@dataclass(frozen=True, slots=True)
class Recipe:
    """What all rows share. `setting` names what else an answer depends on: cache types and such."""

    wording: Wording
    generation: Generation
    seed: int | None = 0  # None: a fresh one for each row
    thinking: bool = True
    template: str | None = None  # a chat template that replaces the model's own
    setting: tuple[str, ...] = ()
    arithmetic: str = ""  # see Model.arithmetic
    day: date | None = None  # for a chat template that tells it

    def fingerprint(self, identity: str) -> "Fingerprint":
        words = self.wording
        said: list[Plain] = [words.raw, self.thinking, self.template]
        if words.parse_special:
            said.append("parse-special")
        for text in (words.prompt, words.system):
            said.append(None if text is None else plain(text.parts))
        how = self.generation
        unseeded = replace(how.sampling, seed=None)  # the recipe's seed is used instead
        made: list[Plain] = [self.seed, *self.setting, changed(unseeded), *_answer_settings(how)]
        digests = (identity[:DIGITS], _digest(said)[:DIGITS], _digest(made)[:DIGITS])
        return Fingerprint(*digests, self.arithmetic, self.day)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Of the model, of the words around each row, of the parameters and of what computes.

    `day` is the one that a chat template tells.
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
        """What a template takes for the time: midnight, so that no hour of a day is another."""
        return None if self.day is None else datetime.combine(self.day, datetime.min.time())

    def resuming(self, others: Iterable[str]) -> "Fingerprint":
        """With the day of results that are alike but for it: they are gone on with as begun."""
        mine = str(replace(self, day=None))
        for other in others if self.day else ():
            head, _, told = other.rpartition("-")
            day = _day(told)
            if head == mine and day is not None:
                return replace(self, day=day)
        return self

    def difference(self, other: str) -> str:
        """What another fingerprint has that is not this one's, in words."""
        parts = zip(DIFFERENCES, str(self).split("-"), other.split("-"), strict=False)
        return next((words for words, mine, its in parts if mine != its), "another version")


@dataclass(frozen=True, slots=True)
class Job:
    """A row to be answered; or `error`, what is wrong with it before any model has seen it."""

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
        content = _digest([ask.content()])
    except LeptonError as wrong:
        name = row.columns.get("custom_id", row.columns.get("id"))
        ask, error = Ask(name, shape=recipe.wording.shape_of(row.columns)), wrong
        content = _digest([row.source, row.columns])
    before = seen[content]
    seen[content] += 1
    seed = None if recipe.seed is None else int(_digest([recipe.seed, content, before])[:8], 16)
    return Job(row.number, _digest([fingerprint, content, before])[:32], seed, ask, error)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _answer_settings(how: Generation) -> list[Plain]:
    """Those of PLACED, then all others by name where they differ from their defaults.

    So a new setting does not invalidate results that were made without it.
    """
    limit = how.constraint
    followed: Plain = None if limit is None else [limit.kind, limit.text]
    values = {**record(how), "constraint": followed}
    later = {name: value for name, value in changed(how).items() if name not in PLACED}
    return [*(values[name] for name in PLACED), *([later] if later else [])]


def _digest(parts: Sequence[Plain]) -> str:
    text = json.dumps(list(parts), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
