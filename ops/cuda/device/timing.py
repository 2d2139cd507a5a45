"""Timing with the card's clock: events on the stream, with a resolution of 0.5 us."""

from itertools import pairwise
from types import TracebackType
from typing import Any

from cuda.bindings import driver as cuda

from ops.cuda.device.card import Card

EXTERNAL = int(cuda.CUevent_record_flags.CU_EVENT_RECORD_EXTERNAL)


class Events:
    """`count` events, freed at the end of `with`. The caller holds the card."""

    def __init__(self, card: Card, stream: Any, count: int) -> None:
        self._card, self._stream, self._count = card, stream, count
        self._events: list[Any] = []

    def __enter__(self) -> "Events":
        flags = int(cuda.CUevent_flags.CU_EVENT_DEFAULT)
        for _ in range(self._count):
            self._events.append(self._card.call("create an event", cuda.cuEventCreate, flags))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for event in self._events:
            self._card.quietly(cuda.cuEventDestroy, event)

    def record(self, number: int) -> None:
        event = self._events[number]
        self._card.call("take the time", cuda.cuEventRecord, event, self._stream)

    def record_in_graph(self, number: int) -> None:
        """Within a capture: each replay records the event."""
        record, event = cuda.cuEventRecordWithFlags, self._events[number]
        self._card.call("take the time", record, event, self._stream, EXTERNAL)

    def seconds(self) -> list[float]:
        """From each event to the next, after the last one."""
        doing = "take the time"
        self._card.call(doing, cuda.cuEventSynchronize, self._events[-1])
        return [
            float(self._card.call(doing, cuda.cuEventElapsedTime, start, end)) * 1e-3
            for start, end in pairwise(self._events)
        ]
