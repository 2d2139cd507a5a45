"""A profile of one step: the time of each operator, and totals by kind."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OperatorTime:
    """The time of one operator in one step. `operator` is its kernel's name.

    `bytes`: weights and cache that it reads; `operations`: its multiply-adds.
    """

    operator: str
    seconds: float
    bytes: int
    operations: int


@dataclass(frozen=True, slots=True)
class OperatorTotal:
    """The sums over all operators of one kind in one step."""

    operator: str
    calls: int
    seconds: float
    bytes: int
    operations: int


def by_operator(times: Iterable[OperatorTime]) -> list[OperatorTotal]:
    """Totals by kind, the slowest first."""
    kinds: dict[str, list[OperatorTime]] = {}
    for time in times:
        kinds.setdefault(time.operator, []).append(time)
    totals = [
        OperatorTotal(
            operator=name,
            calls=len(calls),
            seconds=sum(call.seconds for call in calls),
            bytes=sum(call.bytes for call in calls),
            operations=sum(call.operations for call in calls),
        )
        for name, calls in kinds.items()
    ]
    return sorted(totals, key=lambda total: -total.seconds)
