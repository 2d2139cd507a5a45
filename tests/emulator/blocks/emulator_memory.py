"""The memory of an emulated card: every access is aligned, and inside of what was allocated."""

import bisect
from collections.abc import Callable
from typing import Any

import numpy as np
from emulator_lanes import WARP, now
from emulator_races import Watch
from numpy import ndarray

from ops.cuda.kernels.intrinsics.primitives import Intrinsic
from quant.errors import OutOfMemoryError

ALIGNED = 256
ELEMENTS = {
    ("i", 4): np.int32,
    ("i", 2): np.uint16,
    ("i", 1): np.uint8,
    ("l", 8): np.int64,
    ("f", 4): np.float32,
    ("f", 2): np.float16,
    ("d", 8): np.float64,
}
BITS = {1: np.uint8, 2: np.uint16, 4: np.int32, 8: np.int64}


class Space:
    """Bytes, and what they look like as elements of some type, some at a time."""

    def __init__(self, data: ndarray) -> None:
        self.data = data
        self.watch: Watch | None = None
        self._views: dict[tuple[Any, int], ndarray] = {}

    def view_as(self, kind: Any, count: int) -> ndarray:
        if (kind, count) not in self._views:
            view = self.data.view(kind)
            self._views[kind, count] = view if count == 1 else view.reshape(-1, count)
        return self._views[kind, count]


def extent(address: Any, size: int) -> tuple[int, int]:
    """The lowest and the highest address of a vector, which are aligned."""
    together = int(np.bitwise_or.reduce(address))
    assert together % size == 0, f"{misaligned(address, size):#x} is not aligned to {size} bytes"
    return int(np.minimum.reduce(address)), int(np.maximum.reduce(address))


def misaligned(address: ndarray, size: int) -> int:
    return int(address[address % size != 0][0])


class Memory(Space):
    """The card's memory. Pieces are apart, so that a step too far meets no other piece."""

    def __init__(self, total: int) -> None:
        self.total, self.used = total, 0
        raw = np.empty(2 * total + ALIGNED, np.uint8)  # pages that nobody touches cost nothing
        super().__init__(raw[-raw.ctypes.data % ALIGNED :][: 2 * total // ALIGNED * ALIGNED])
        self.base = self.data.ctypes.data
        self._starts: list[int] = []
        self._ends: list[int] = []

    def allocate(self, size: int) -> int:
        if self.used + size > self.total:
            raise OutOfMemoryError(f"{size} bytes wanted, {self.total - self.used} are free")
        start = place = 0
        for place, begin in enumerate([*self._starts, len(self.data)]):
            if start + size <= begin:
                break
            start = -(-self._ends[place] // ALIGNED) * ALIGNED + ALIGNED
        else:
            raise OutOfMemoryError("the emulated card's memory is in pieces")
        self._starts.insert(place, start)
        self._ends.insert(place, start + size)
        self.data[start : start + size] = 0xA5
        self.used += size
        return self.base + start

    def free(self, address: int) -> None:
        place = self._starts.index(address - self.base)
        self.used -= self._ends.pop(place) - self._starts.pop(place)

    def check(self, address: int, size: int) -> None:
        assert address % size == 0, f"{address:#x} is not aligned to {size} bytes"
        at = address - self.base
        assert self._inside(at, at + size), self._outside(address, size)

    def _inside(self, low: int, end: int) -> bool:
        place = bisect.bisect_right(self._starts, low) - 1
        return place >= 0 and end <= self._ends[place]

    def _outside(self, address: int, size: int) -> str:
        place = bisect.bisect_right(self._starts, address - self.base) - 1
        if place < 0:
            return f"{address:#x} is no address of the card"
        start, end = self._starts[place], self._ends[place]
        return f"{size} bytes at {address - self.base - start} of a piece of {end - start} bytes"

    def view(self, address: int, size: int) -> ndarray:
        at = address - self.base
        assert self._inside(at, at + size), "outside of what was allocated"
        return self.data[at : at + size]

    def pieces(self) -> list[ndarray]:
        """A copy of what was allocated."""
        ends = zip(self._starts, self._ends, strict=True)
        return [self.data[start:end].copy() for start, end in ends]

    def restore(self, pieces: list[ndarray]) -> None:
        for start, piece in zip(self._starts, pieces, strict=True):
            self.data[start : start + len(piece)] = piece

    def at(self, address: Any, size: int) -> Any:
        """Where in `data` an address is, or a vector of them."""
        if type(address) is not ndarray:
            self.check(address, size)
            return address - self.base
        low, high = extent(address, size)
        if not self._inside(low - self.base, high - self.base + size):
            for one in np.unique(address).tolist():
                self.check(one, size)
        return address - self.base


class Shared(Space):
    """The shared memory of some blocks, side by side."""

    def __init__(self, size: int, blocks: int) -> None:
        self.size, self._stride = size, -(-size // 16) * 16
        super().__init__(np.full(max(self._stride * blocks, 16), 0xA5, np.uint8))
        self._offsets = np.repeat(np.arange(blocks) * self._stride, WARP)

    def at(self, address: Any, size: int) -> Any:
        if type(address) is ndarray:
            low, high = extent(address, size)
        else:
            low = high = address
            assert address % size == 0, f"{address} in shared memory is not aligned to {size}"
        assert low >= 0 and high <= self.size - size, f"{low} to {high} of {self.size}"
        offsets = self._offsets
        if len(offsets) == WARP:
            return address
        if type(address) is ndarray and len(address) < len(offsets):
            offsets = offsets[now.mask]
        return offsets + address


# --- intrinsics


def touching(instruction: Intrinsic) -> Callable[..., Any]:
    """An intrinsic that loads or stores, by what it declares."""
    assert instruction.touches
    space, size = instruction.touches
    letters = instruction.results or instruction.operands[1:]
    assert len(set(letters)) == 1, instruction
    element = letters[0], size // len(letters)
    assert element in ELEMENTS, (
        f"emulator_memory.py does not know elements as of {instruction.name}"
    )
    name = "memory" if space == "global" else "shared"
    if instruction.results:
        constant = space == "global" and not instruction.effects
        return _load(name, ELEMENTS[element], size, len(letters), constant)
    return _store(name, ELEMENTS[element], size, len(letters))


def _load(space: str, kind: Any, size: int, count: int, constant: bool) -> Callable[..., Any]:
    number = {np.float16: np.float32, np.float32: np.float32, np.float64: np.float64}.get(
        kind, np.int64
    )
    shift = size.bit_length() - 1

    def load(address: Any) -> Any:
        mask, memory = now.mask, getattr(now, space)
        if mask is not None and type(address) is ndarray:  # idle lanes do as one that runs
            address = np.where(mask, address, address[mask.argmax()])
        at = memory.at(address, size)
        if memory.watch:
            memory.watch.load(at, size, constant)
        found = memory.view_as(kind, count)
        if type(at) is ndarray:
            found = found.take(at >> shift, 0).astype(number)
            return found if count == 1 else tuple(np.ascontiguousarray(found.T))
        found = found[at >> shift].astype(number)
        numbers = found if number is np.float32 else found.tolist()
        return numbers if count == 1 else tuple(numbers)

    return load


def _store(space: str, kind: Any, size: int, count: int) -> Callable[..., None]:
    bits, shift = BITS[size // count], size.bit_length() - 1
    limit = (1 << 8 * size // count) - 1
    sign = 0 if kind in (np.uint8, np.uint16) else (limit + 1) // 2

    def as_bits(value: Any) -> Any:
        if np.dtype(kind).kind == "f":
            return np.asarray(value, kind).view(bits)
        return value if type(value) is ndarray else ((int(value) + sign) & limit) - sign

    def store(address: Any, *values: Any) -> None:
        mask, memory = now.mask, getattr(now, space)
        rows = np.empty((now.lanes, count), bits)
        for n, value in enumerate(values):
            rows[:, n] = as_bits(value)
        if type(address) is not ndarray:
            address = np.full(now.lanes, address)
        if mask is not None:
            address, rows = address[mask], rows[mask]
        at = memory.at(address, size)
        if memory.watch:
            memory.watch.store(at, size)
        at = at >> shift
        view = memory.view_as(bits, count)
        view[at] = rows if count > 1 else rows[:, 0]
        if not np.array_equal(view.take(at, 0).reshape(rows.shape), rows):
            raise AssertionError("lanes of one store give the same place different values")

    return store
