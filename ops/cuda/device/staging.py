"""Copies between the host's memory and the card's through pinned buffers that are used in turn.

    source  |..A..|..B..|..C..|        memmove A  memmove B  memmove C     (this thread)
    buffers [slot 0] [slot 1]                    transfer A  transfer B    (the card's copy engine)

A slot's event is recorded behind its transfer; the slot's next user waits for it first.
"""

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
from cuda.bindings import driver as cuda
from numpy.typing import NDArray

from ops.cuda.device.card import Card
from ops.cuda.device.failures import mebibytes

Bytes = NDArray[np.uint8]

MESSAGE = (
    1 << 20
)  # bytes; holds a step's record or its results, which never wait for a large transfer
MESSAGES = 8
BULK = 32 << 20  # bytes; for weights
BULKS = 2


@dataclass(frozen=True, slots=True)
class Slot:
    """Pinned bytes, their address, and the event after their last transfer."""

    address: int
    content: Bytes
    free: Any


class Ring:
    """Slots of `size` bytes each, used in turn."""

    def __init__(self, card: Card, count: int, size: int) -> None:
        doing = f"pin {mebibytes(count * size)} of the machine's memory"
        self._card, self.size, self._turn = card, size, 0
        self._address = card.call(doing, cuda.cuMemHostAlloc, count * size, 0)
        self._slots = [self._slot(self._address + n * size) for n in range(count)]

    def _slot(self, address: int) -> Slot:
        flags = int(cuda.CUevent_flags.CU_EVENT_DISABLE_TIMING)
        event = self._card.call("create an event", cuda.cuEventCreate, flags)
        content = np.ctypeslib.as_array((ctypes.c_uint8 * self.size).from_address(address))
        return Slot(address, content, event)

    def take(self) -> Slot:
        """The next slot, after its last transfer."""
        slot = self._slots[self._turn]
        self._turn = (self._turn + 1) % len(self._slots)
        self.wait(slot)
        return slot

    def wait(self, slot: Slot) -> None:
        self._card.call("finish a transfer", cuda.cuEventSynchronize, slot.free)

    def close(self) -> None:
        for slot in self._slots:
            self._card.quietly(cuda.cuEventDestroy, slot.free)
        self._card.quietly(cuda.cuMemFreeHost, self._address)


class Staging:
    """Transfers in the order of `stream`. The caller holds the card while it calls."""

    def __init__(self, card: Card, stream: Any) -> None:
        self._card, self._stream = card, stream
        self._messages = Ring(card, MESSAGES, MESSAGE)
        self._bulks: Ring | None = None  # until the first large transfer

    def upload(self, address: int, source: Bytes) -> None:  # (bytes,)
        """Returns when the last byte is in pinned memory; transfers may still be under way."""
        ring = self._ring(source.size)
        try:
            for start in range(0, source.size, ring.size):
                part, slot = source[start : start + ring.size], ring.take()
                slot.content[: part.size] = part
                self._send(address + start, slot, part.size)
        except BaseException:  # Ctrl-C before the event was recorded: the slot would look free
            self._card.quietly(cuda.cuStreamSynchronize, self._stream)
            raise

    def _send(self, address: int, slot: Slot, size: int) -> None:
        doing = "copy to the GPU"
        self._card.call(doing, cuda.cuMemcpyHtoDAsync, address, slot.address, size, self._stream)
        self._card.call(doing, cuda.cuEventRecord, slot.free, self._stream)

    def download(self, address: int, target: Bytes) -> None:  # (bytes,)
        """Waits. One part is copied out of its slot while the next is transferred."""
        ring = self._ring(target.size)
        last: tuple[Bytes, Slot] | None = None
        try:
            for start in range(0, target.size, ring.size):
                part, slot = target[start : start + ring.size], ring.take()
                self._fetch(address + start, slot, part.size)
                if last:
                    self._deliver(ring, *last)
                last = part, slot
            if last:
                self._deliver(ring, *last)
        except BaseException:
            self._card.quietly(cuda.cuStreamSynchronize, self._stream)
            raise

    def _fetch(self, address: int, slot: Slot, size: int) -> None:
        doing = "copy from the GPU"
        self._card.call(doing, cuda.cuMemcpyDtoHAsync, slot.address, address, size, self._stream)
        self._card.call(doing, cuda.cuEventRecord, slot.free, self._stream)

    def _deliver(self, ring: Ring, part: Bytes, slot: Slot) -> None:
        ring.wait(slot)
        part[:] = slot.content[: part.size]

    def _ring(self, size: int) -> Ring:
        if size <= MESSAGE:
            return self._messages
        if self._bulks is None:
            self._bulks = Ring(self._card, BULKS, BULK)
        return self._bulks

    def close(self) -> None:
        self._messages.close()
        if self._bulks is not None:
            self._bulks.close()
