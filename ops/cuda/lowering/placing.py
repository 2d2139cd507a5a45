"""Placement of weights on the card, and their upload from the mapped file.

Formats that the kernels know are interleaved into panels on the card (kernels/formats/weights.py),
slice after slice through a staging buffer; the others are converted to float16 first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ops.cuda.device.device import Device, Launch
from ops.cuda.kernels.formats.packing import FLOAT_GROUP_BYTES
from ops.cuda.kernels.formats.weights import BLOCK, PANEL_ROWS, PANELS
from ops.cuda.kernels.intrinsics.kernel import operands_of
from ops.cuda.kernels.operands import Pack
from ops.interface import Weight
from quant.format import FORMATS, dequantize, quantize

ALIGNMENT = 256
SLICE = 32 << 20  # bytes of the file that are uploaded and packed at once
SIXTEEN_BITS = ("F16", "BF16")


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A weight's offset in the memory of all weights; `kind` is its format there.

    Quantized formats and F16 lie in panels, F32 row by row. `blocks` of 32 columns.
    """

    offset: int
    kind: str
    matrix_bytes: int
    panel_bytes: int
    blocks: int


def kind_of(weight: Weight) -> str:
    """The format of a matrix on the card."""
    name, columns = weight.format.name, weight.columns
    if name in PANELS:
        return name
    return "F32" if name == "F32" or columns % BLOCK else "F16"


def panel_bytes(kind: str, columns: int) -> int:
    """Bytes of a panel of 32 rows."""
    blocks = columns // BLOCK
    if kind == "F16":
        return blocks * FLOAT_GROUP_BYTES
    panels = PANELS[kind]
    return -(-blocks // panels.blocks) * panels.unit_bytes


def matrix_bytes(weight: Weight) -> int:
    """Bytes of one of its matrices on the card."""
    kind = kind_of(weight)
    if kind == "F32":
        return 4 * weight.rows * weight.columns
    return -(-weight.rows // PANEL_ROWS) * panel_bytes(kind, weight.columns)


class Placing:
    """Assigns every weight an offset, then uploads them all."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._places: dict[tuple[object, ...], tuple[Placed, Any]] = {}
        self._size, self._base = 0, 0

    def matrix(self, weight: Weight) -> Placed:
        """For a product, or a table of rows."""
        return self._place(weight.data, weight, _unplaced(weight))

    def joined(self, weights: Sequence[Weight]) -> Placed:
        """Matrices of one format and width, joined along the rows; each fills whole panels."""
        wanted = [_unplaced(weight) for weight in weights]
        first = replace(wanted[0], offset=self._size)
        for weight, form in zip(weights, wanted, strict=True):
            place = replace(form, offset=self._size)
            self._places[(*_key(weight.data, weight, form), len(self._places))] = place, weight
            self._size += place.matrix_bytes
        self._size = -(-self._size // ALIGNMENT) * ALIGNMENT
        return replace(first, matrix_bytes=sum(form.matrix_bytes for form in wanted))

    def joined_floats(self, vectors: Sequence[Weight]) -> Placed:
        """Concatenated vectors."""
        values = [dequantize(vector.format, vector.data).reshape(-1) for vector in vectors]
        return self.numbers(np.concatenate(values))

    def floats(self, weight: Weight | None) -> Placed | None:
        """A vector, or one per expert, as consecutive float32."""
        return None if weight is None else self._place(weight.data, weight, _vector(weight))

    def reread(self, vector: Weight) -> None:
        """Uploads the values of a vector that were changed, if it has a place here."""
        key = _key(vector.data, vector, _vector(vector))
        if key in self._places:
            placed, _ = self._places[key]
            self._device.upload(self.address(placed), dequantize(vector.format, vector.data))

    def numbers(self, values: NDArray[Any]) -> Placed:
        """An array, unchanged."""
        return self._place(values, values, Placed(0, "numbers", values.nbytes, 0, 0))

    def address(self, placed: Placed | None) -> int:
        """0 for None. Valid after `fetch`."""
        return self._base + placed.offset if placed else 0

    @property
    def kinds(self) -> set[str]:
        """The formats of all placed weights."""
        return {placed.kind for placed, _ in self._places.values()}

    @property
    def size(self) -> int:
        """Total bytes."""
        return self._size

    def fetch(self) -> None:
        """Allocates the memory and uploads all weights. Raises OutOfMemoryError."""
        self._base = self._device.allocate(max(self._size, ALIGNMENT))
        staging = self._device.allocate(SLICE + ALIGNMENT)
        try:
            self._device.clear(self._base, self._size)
            for placed, source in self._places.values():
                self._upload(placed, source, staging)
            self._device.synchronize()
        finally:
            self._device.free(staging)

    def close(self) -> None:
        if self._base:
            self._device.free(self._base)
            self._base = 0

    def _place(self, data: NDArray[Any], source: object, wanted: Placed) -> Placed:
        key = _key(data, source, wanted)
        if key not in self._places:
            experts = source.experts if isinstance(source, Weight) and wanted.blocks else 1
            self._places[key] = replace(wanted, offset=self._size), source
            self._size += -(-wanted.matrix_bytes * experts // ALIGNMENT) * ALIGNMENT
        return self._places[key][0]

    def _upload(self, placed: Placed, source: Any, staging: int) -> None:
        if placed.kind == "numbers":
            self._device.upload(self.address(placed), np.ascontiguousarray(source))
        elif placed.kind == "vector":
            self._device.upload(self.address(placed), dequantize(source.format, source.data))
        elif placed.kind == "F32":
            for first, rows in _slices(len(source.data), 4 * source.columns):
                part = dequantize(source.format, source.data[first : first + rows])
                self._device.upload(self.address(placed) + 4 * first * source.columns, part)
        else:
            self._pack(placed, source, staging)

    def _pack(self, placed: Placed, weight: Weight, staging: int) -> None:
        for expert in range(weight.experts):
            matrix = weight.data[expert * weight.rows : (expert + 1) * weight.rows]
            target = self.address(placed) + expert * placed.matrix_bytes
            for first, rows in _slices(weight.rows, _row_bytes(weight)):
                raw, form = _native(weight, matrix[first : first + rows])
                self._device.upload(staging, raw)
                units, threads = _pack_shape(form, placed)
                record = Pack(
                    source=staging,
                    target=target + first // PANEL_ROWS * placed.panel_bytes,
                    row_bytes=raw.shape[1],
                    rows=rows,
                    blocks=placed.blocks,
                    panel_bytes=placed.panel_bytes,
                )
                grid = (-(-rows // PANEL_ROWS), units, 1)
                self._device.launch(Launch(f"pack_{form}", grid, threads, operands_of(record)))


def _vector(weight: Weight) -> Placed:
    """A vector on the card, not yet placed."""
    return Placed(0, "vector", 4 * weight.columns * len(weight.data), 0, 0)


def _unplaced(weight: Weight) -> Placed:
    """A matrix on the card, not yet placed."""
    kind, size = kind_of(weight), matrix_bytes(weight)
    panel = 0 if kind == "F32" else panel_bytes(kind, weight.columns)
    return Placed(0, kind, size, panel, -(-weight.columns // BLOCK))


def _key(data: NDArray[Any], source: object, wanted: Placed) -> tuple[object, ...]:
    name = source.format.name if isinstance(source, Weight) else "numbers"
    return data.ctypes.data, data.shape, name, wanted.kind == "vector"


def packing_kernels(kinds: set[str]) -> set[str]:
    """The kernels that pack weights into these formats."""
    forms = (kinds & PANELS.keys()) | (set(SIXTEEN_BITS) if "F16" in kinds else set())
    return {f"pack_{form}" for form in forms}


def _pack_shape(form: str, placed: Placed) -> tuple[int, int]:
    """Thread blocks along y, and threads per block."""
    if form in SIXTEEN_BITS:
        return placed.blocks, PANEL_ROWS
    panels = PANELS[form]
    return -(-placed.blocks // panels.blocks), PANEL_ROWS * panels.blocks


def _native(weight: Weight, rows: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], str]:
    """The bytes to pack and their format: float16 for converted formats."""
    name = weight.format.name
    if name in PANELS or name in SIXTEEN_BITS:
        return rows, name
    return quantize(FORMATS["F16"], dequantize(weight.format, rows)), "F16"


def _row_bytes(weight: Weight) -> int:
    return max(int(weight.data.shape[1]), 2 * weight.columns)


def _slices(rows: int, row_bytes: int) -> Iterator[tuple[int, int]]:
    """(first row, rows) of slices that fit the staging buffer: whole panels."""
    step = max(1, SLICE // (row_bytes * PANEL_ROWS)) * PANEL_ROWS
    for first in range(0, rows, step):
        yield first, min(step, rows - first)
