"""The memory of packed weights, and the kernel calls that fill it from the mapped file.

Packing only interleaves rows (kernels/formats/records.py), so packed weights are as large as in the
file. Mapped pages are released as soon as they are packed.
"""

import ctypes
import functools
import mmap
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ops.cpu.layout import PANEL_ROWS
from ops.interface import Weight
from ops.machine import available_memory
from quant.errors import OutOfMemoryError
from quant.format import Format, dequantize, row_bytes

HUGE_PAGE = 2 << 20
SLICE = 16 << 20  # bytes of the file that are packed before their pages are released
ALIGNMENT = 128

PackCall = tuple[str, list[int]]  # a kernel and its operands


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """A weight in panels: an operand of a product's call. `offset` is from the first weight's."""

    offset: int
    format: Format
    matrix_bytes: int
    panel_bytes: int


class Packing:
    """Assigns every weight an offset; then allocates the memory and packs them all."""

    def __init__(self) -> None:
        self._packed: dict[tuple[int, tuple[int, ...], str], tuple[Packed, Weight]] = {}
        self._size = 0
        self._memory: mmap.mmap | None = None
        self._base = 0
        self._sources: list[NDArray[Any]] = []  # arrays that the calls point to

    def place(self, weight: Weight, kind: Format) -> Packed:
        """`kind` is the weight's own format, or F32 if it is to be converted."""
        key = (weight.data.ctypes.data, weight.data.shape, weight.format.name)
        if key not in self._packed:
            panel = PANEL_ROWS * row_bytes(kind, weight.columns)
            matrix = -(-weight.rows // PANEL_ROWS) * panel
            packed = Packed(self._size, kind, matrix, panel)
            self._size += -(-matrix * weight.experts // ALIGNMENT) * ALIGNMENT
            self._packed[key] = packed, weight
        return self._packed[key][0]

    def address(self, packed: Packed) -> int:
        return self._base + packed.offset

    def calls(self) -> list[PackCall]:
        """Reserves the memory. All threads run them in this order; then call `release_sources`."""
        self._memory = _reserve(self._size + HUGE_PAGE)
        start = np.frombuffer(self._memory, np.uint8).ctypes.data
        self._base = -(-start // HUGE_PAGE) * HUGE_PAGE
        calls = []
        for packed, weight in self._packed.values():
            calls += self._pack(packed, weight)
        return calls

    def release_sources(self) -> None:
        """Drops the arrays that only packing needed."""
        self._sources.clear()

    def _pack(self, packed: Packed, weight: Weight) -> list[PackCall]:
        """Packs slice by slice; each one's mapped pages are released afterwards."""
        data = weight.data
        if packed.format is not weight.format:
            data = dequantize(weight.format, data).view(np.uint8)
        size, parts = _fields(packed.format, data.shape[-1])
        fields = np.array(parts, np.int64)
        self._sources += [data, fields]
        block = [size, fields.ctypes.data, len(fields)]
        calls, mapped = [], _is_mapped(data)
        for first, count, matrices in _slices(weight, data.shape[-1]):
            part = data[first : first + count * matrices]
            target = self.address(packed) + first // weight.rows * packed.matrix_bytes
            target += first % weight.rows // PANEL_ROWS * packed.panel_bytes
            source = [part.ctypes.data, data.shape[-1], matrices, count]
            calls.append(("pack", [*source, target, *block]))
            calls += _release(part) if mapped else []
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


def _reserve(size: int) -> mmap.mmap:
    """New memory, in huge pages if the system has them."""
    try:
        if sys.platform == "win32":
            return mmap.mmap(-1, size)
        memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, ValueError, OverflowError) as error:
        message = f"no memory for {size / 1e6:.1f} MB of weights; {available_memory()}"
        raise OutOfMemoryError(message, "use a smaller model") from error
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def _release(part: NDArray[np.uint8]) -> list[PackCall]:
    """Releases a part of a mapped file; its pages can be read again."""
    if not sys.platform.startswith("linux"):
        return []
    page = mmap.PAGESIZE
    first = part.ctypes.data // page * page  # the slice before may have left half a page
    last = (part.ctypes.data + part.nbytes) // page * page
    if last <= first:
        return []
    return [("release", [_madvise(), first, last - first])]


@functools.cache
def _madvise() -> int:
    """The address of the C function."""
    return ctypes.cast(ctypes.CDLL(None).madvise, ctypes.c_void_p).value or 0


def _is_mapped(array: NDArray[Any]) -> bool:
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    return isinstance(base, mmap.mmap)
