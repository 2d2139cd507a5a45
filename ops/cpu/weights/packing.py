"""The memory of packed weights, and the kernel calls that fill it from the mapped file.

Packing only interleaves rows (kernels/formats/records.py), so packed weights are as large as in the
file. Mapped pages are released as soon as they are packed. What an earlier run kept of the same
file (see ops.cpu.weights.files) is mapped instead.
"""

import ctypes
import functools
import hashlib
import mmap
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ops.cpu.kernel_folders import code_digest
from ops.cpu.layout import PANEL_ROWS
from ops.cpu.weights.files import WeightFiles
from ops.interface import Weight
from ops.machine import available_memory
from ops.program import Source
from quant.errors import OutOfMemoryError
from quant.format import Format, row_bytes

HUGE_PAGE = 2 << 20
SLICE = 16 << 20  # bytes of the file that are packed before their pages are released
ALIGNMENT = 128
MADV_DONTNEED, MADV_POPULATE_READ = 4, 22
"""Linux's: pages are dropped, to be read again; or mapped at once, where it knows how to."""
SETTLED = 3 * 10**9
"""Nanoseconds since a file's last change, before which another one may have the same time."""

PackCall = tuple[str, list[int]]  # a kernel and its operands


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """A weight in panels: an operand of a product's call, `behind` bytes after its beginning."""

    stretch: "Stretch"
    format: Format
    matrix_bytes: int
    panel_bytes: int
    behind: int = 0


@dataclass(slots=True, eq=False)
class Stretch:
    """Where a weight lies in its area, which is known when all weights are."""

    area: "Area"
    size: int
    offset: int = 0


@dataclass(slots=True, eq=False)
class Area:
    """A stretch of memory for the weights of one source, or for those that code makes."""

    source: Source | None = None
    size: int = 0
    key: str = ""  # of its file on disk
    memory: NDArray[np.uint8] | None = None

    @property
    def base(self) -> int:
        assert self.memory is not None, "memory is there once all weights have a place"
        return self.memory.ctypes.data


class Packing:
    """Assigns every weight an offset; then allocates the memory and packs them all.

    Those of files may be kept for later starts, each source's apart: a model's are found again
    with any adapters. Others are made by the model's code.
    """

    def __init__(self, files: WeightFiles | None = None, sources: Sequence[Source] = ()) -> None:
        """`sources`: the model's files; without them nothing is kept in `files`."""
        self._files = files
        self._packed: dict[tuple[int, tuple[int, ...], str], tuple[Packed, Weight]] = {}
        self._of_files, self._made = [Area(source) for source in sources if files], Area()
        self._fields: list[NDArray[np.int64]] = []  # arrays that the calls point to
        self._unkept: list[Area] = []

    def place(self, weight: Weight) -> Packed:
        key = (weight.data.ctypes.data, weight.data.shape, weight.format.name)
        if key not in self._packed:
            panel = PANEL_ROWS * row_bytes(weight.format, weight.columns)
            matrix = -(-weight.rows // PANEL_ROWS) * panel
            area = self._area(weight)
            size = -(-matrix * weight.experts // ALIGNMENT) * ALIGNMENT
            area.size += size
            self._packed[key] = Packed(Stretch(area, size), weight.format, matrix, panel), weight
        return self._packed[key][0]

    def address(self, packed: Packed) -> int:
        return packed.stretch.area.base + packed.stretch.offset + packed.behind

    def calls(self) -> list[PackCall]:
        """Reserves the memory. All threads run them in this order; then call `end`."""
        calls = list[PackCall]()
        for area in (*self._of_files, self._made):
            self._lay_out(area)
        for area in self._of_files:
            area.key = self._key(area)
            area.memory = self._files.find(area.key, area.size) if self._files else None
            if area.memory is not None:
                calls += _advise(area.memory, MADV_POPULATE_READ)
        self._unkept = [area for area in self._of_files if area.memory is None]
        new = [*self._unkept, self._made]
        whole = _reserve(sum(area.size for area in new))
        for area in new:
            area.memory, whole = whole[: area.size], whole[area.size :]
        for packed, weight in self._packed.values():
            if packed.stretch.area in new:
                calls += self._pack(packed, weight)
        return calls

    def end(self) -> None:
        """After packing: drops the arrays that only it needed; new weights are kept on disk."""
        self._fields.clear()
        for area in self._unkept:
            assert self._files and area.source and area.memory is not None, "it is a file's"
            changed = max(stamp.changed for stamp in area.source.stamps)
            if time.time_ns() - changed > SETTLED:
                self._files.keep(area.key, area.source.name, area.memory)
        self._unkept = []

    def _lay_out(self, area: Area) -> None:
        """In the order of a file, whatever the order of the operators: see `_key`."""
        offset = 0
        for packed, _ in self._in(area):
            packed.stretch.offset = offset
            offset += packed.stretch.size

    def _in(self, area: Area) -> list[tuple[Packed, Weight]]:
        """The weights of an area, in the order of its file."""
        found = [each for each in self._packed.values() if each[0].stretch.area is area]
        if area.source is None:
            return found
        maps = area.source.maps
        return sorted(found, key=lambda each: _place_in(maps, each[1].data))

    def _area(self, weight: Weight) -> Area:
        """That of the file that the weight is in, if it is in one."""
        mapping = _mapping(weight.data)
        for area in self._of_files:
            if area.source and any(mapping is each for each in area.source.maps):
                return area
        return self._made

    def _key(self, area: Area) -> str:
        """A digest of all that an area's bytes depend on: the code, the files, the layout."""
        assert area.source, "what code makes is not kept"
        code = f"{code_digest()} {sys.byteorder} ".encode() + Path(__file__).read_bytes()
        digest = hashlib.blake2b(code, digest_size=16)
        digest.update(repr(area.source.stamps).encode())
        for packed, weight in self._in(area):
            shape = f"{weight.experts} {weight.rows} {weight.columns}"
            place = f"{_place_in(area.source.maps, weight.data)} {packed.stretch.offset}"
            digest.update(f"{weight.name} {weight.format.name} {shape} {place}\n".encode())
        return digest.hexdigest()

    def _pack(self, packed: Packed, weight: Weight) -> list[PackCall]:
        """Packs slice by slice; each one's mapped pages are released afterwards."""
        data = weight.data
        size, parts = _fields(packed.format, data.shape[-1])
        fields = np.array(parts, np.int64)
        self._fields.append(fields)
        block = [size, fields.ctypes.data, len(fields)]
        calls, mapped = [], _mapping(data)
        for first, count, matrices in _slices(weight, data.shape[-1]):
            part = data[first : first + count * matrices]
            target = self.address(packed) + first // weight.rows * packed.matrix_bytes
            target += first % weight.rows // PANEL_ROWS * packed.panel_bytes
            source = [part.ctypes.data, data.shape[-1], matrices, count]
            calls.append(("pack", [*source, target, *block]))
            calls += _advise(part, MADV_DONTNEED) if mapped else []
        return calls


def _slices(weight: Weight, row: int) -> Iterator[tuple[int, int, int]]:
    """(first row, rows per matrix, matrices): whole matrices, or whole panels of a large one."""
    matrix = weight.rows * row
    if matrix <= SLICE:
        at_once = max(1, SLICE // matrix)
        for first in range(0, weight.experts, at_once):
            yield first * weight.rows, weight.rows, min(at_once, weight.experts - first)
        return
    step = max(1, SLICE // (row * PANEL_ROWS)) * PANEL_ROWS
    for expert in range(weight.experts):
        for first in range(0, weight.rows, step):
            yield expert * weight.rows + first, min(step, weight.rows - first), 1


def _fields(kind: Format, row: int) -> tuple[int, list[tuple[int, int]]]:
    """A block's bytes, and (unit, bytes) of each field: the largest unit that divides it."""
    types = kind.block.fields
    if not types:  # plain numbers: a row is one block
        return row, _plain_fields(kind, row)
    parts = [types[name][0] for name in kind.block.names or ()]
    return kind.block_bytes, [(_unit(part), part.itemsize) for part in parts]


def _plain_fields(kind: Format, row: int) -> list[tuple[int, int]]:
    """In BF16 two columns are a unit, as products of pairs take them; an odd one follows alone."""
    if kind.name != "BF16":
        return [(_unit(kind.block), row)]
    return [(4, row - row % 4), (2, row % 4)]


def _unit(part: np.dtype[Any]) -> int:
    if part.itemsize % 4 == 0:
        return 4
    return 2 if part.itemsize % 2 == 0 else 1


def _reserve(size: int) -> NDArray[np.uint8]:
    """New memory that begins with a huge page, if the system has them."""
    whole = size + HUGE_PAGE
    try:
        if sys.platform == "win32":
            memory = mmap.mmap(-1, whole)
        else:
            memory = mmap.mmap(-1, whole, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, ValueError, OverflowError) as error:
        message = f"no memory for {size / 1e6:.1f} MB of weights; {available_memory()}"
        raise OutOfMemoryError(message, "use a smaller model") from error
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    found = np.frombuffer(memory, np.uint8)
    start = -found.ctypes.data % HUGE_PAGE
    return found[start : start + size]


def _advise(part: NDArray[np.uint8], advice: int) -> list[PackCall]:
    """Tells the system about the pages within a part of a mapped file."""
    if not sys.platform.startswith("linux"):
        return []
    page = mmap.PAGESIZE
    first = part.ctypes.data // page * page  # the slice before may have left half a page
    last = (part.ctypes.data + part.nbytes) // page * page
    if last <= first:
        return []
    return [("advise", [_madvise(), first, last - first, advice])]


@functools.cache
def _madvise() -> int:
    """The address of the C function."""
    return ctypes.cast(ctypes.CDLL(None).madvise, ctypes.c_void_p).value or 0


def _place_in(maps: Sequence[mmap.mmap], array: NDArray[Any]) -> tuple[int, int]:
    """Which of the mapped files it is in, and where it begins there."""
    mapping = _mapping(array)
    assert mapping is not None, "only parts of files have a place in them"
    start = int(array.ctypes.data) - np.frombuffer(mapping, np.uint8).ctypes.data
    return next(n for n, each in enumerate(maps) if each is mapping), start


def _mapping(array: NDArray[Any]) -> mmap.mmap | None:
    """The mapped file that the array is part of, if it is."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    return base if isinstance(base, mmap.mmap) else None
