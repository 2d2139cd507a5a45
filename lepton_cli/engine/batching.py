"""Many answers at once: what is asked for, and what came of it."""

from dataclasses import dataclass

from lepton_cli.engine.events import Done
from lepton_cli.engine.generation import Generation
from quant.errors import LeptonError


@dataclass(frozen=True, slots=True)
class Request:
    """One answer that is wanted; `key` is the caller's name for it."""

    key: int
    ids: tuple[int, ...]
    generation: Generation


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request: an answer that ended as `done` says, or an error of its own."""

    key: int
    text: str = ""
    reasoning: str = ""
    done: Done | None = None
    error: LeptonError | None = None
