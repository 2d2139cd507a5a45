"""What the table of architectures says of one: where its class is, and what it was checked with."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of a family's table.

    `place` is module:class in the family's folder; `models` the published models; `recordings` the
    files of recorded logits (archive/name) that the tests compare with.
    """

    place: str
    models: str
    recordings: tuple[str, ...] = ()
