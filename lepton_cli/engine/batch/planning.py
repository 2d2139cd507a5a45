"""What is to be done: a key for each row, which finds its answer again, and a seed of its own.

Both come from what the row asks and from how many rows before it ask the very same; so neither the
order of the rows, nor how many are answered at once, nor a stop in between changes an answer, and
of two equal rows each gets its own.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from lepton_cli.engine.batch.asking import Ask
from lepton_cli.engine.batch.rows import Row
from lepton_cli.engine.batch.wording import Wording
from lepton_cli.engine.generation import Generation
from lepton_cli.engine.plain import Plain, plain
from quant.errors import LeptonError

DIGITS = 12  # hexadecimal, of each part of a fingerprint


@dataclass(frozen=True, slots=True)
class Recipe:
    """What all rows share. `setting` names what else an answer depends on: cache types and such."""

    wording: Wording
    generation: Generation
    seed: int | None = 0  # None: a fresh one for each row
    thinking: bool = True
    template: str | None = None  # a chat template that replaces the model's own
    setting: tuple[str, ...] = ()

    def fingerprint(self, identity: str) -> "Fingerprint":
        words = self.wording
        texts = [
            None if text is None else list(text.parts) for text in (words.prompt, words.system)
        ]
        said: list[Plain] = [*texts, words.raw, self.thinking, self.template]
        made: list[Plain] = [self.seed, _changed(self.generation), *self.setting]
        made.append(_changed(self.generation.sampling))
        return Fingerprint(identity[:DIGITS], _digest(said)[:DIGITS], _digest(made)[:DIGITS])


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Of the model, of the words around each row, and of the parameters."""

    model: str
    template: str
    parameters: str

    def __str__(self) -> str:
        return f"{self.model}-{self.template}-{self.parameters}"

    def difference(self, other: str) -> str:
        """What another fingerprint has that is not this one's, in words."""
        parts = zip(fields(self), str(self).split("-"), other.split("-"), strict=False)
        return next((field.name for field, mine, its in parts if mine != its), "version")


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
        content = ask.content()
    except LeptonError as wrong:
        ask, error = Ask(row.columns.get("custom_id", row.columns.get("id"))), wrong
        content = json.dumps([row.source, row.columns], sort_keys=True)
    before = seen[content]
    seen[content] += 1
    seed = None if recipe.seed is None else int(_digest([recipe.seed, content, before])[:8], 16)
    return Job(row.number, _digest([fingerprint, content, before])[:32], seed, ask, error)


def _changed(settings: object) -> dict[str, Plain]:
    """What is not its default: so a new kind of setting does not make old results foreign."""
    default = type(settings)()
    values = {each.name: getattr(settings, each.name) for each in fields(settings)}  # type: ignore[arg-type]
    return {
        name: plain(value)
        for name, value in values.items()
        if name not in ("sampling", "seed") and value != getattr(default, name)
    }


def _digest(parts: Sequence[Plain]) -> str:
    text = json.dumps(list(parts), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
