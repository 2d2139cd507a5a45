"""Which of two shapes a format's products should have on this machine: measured, once.

Both give the same bytes. Where a processor multiplies bytes and unpacks weights on the same ports,
unpacking once for many tokens is faster; where it has others for that, storing what is unpacked
costs more than it saves.
"""

import ctypes
import math
import time
from collections.abc import Callable

import numpy as np

from ops.cpu import layout
from ops.cpu.formats import TWO_SHAPES, UNPACKED
from ops.cpu.lower import product_scratch
from ops.cpu.objects import ObjectStore
from ops.cpu.records import Record
from quant.format import FORMATS, row_bytes

ROWS, COLUMNS, TOKENS = 256, 2048, 512  # as many tokens as a pass of a prompt has
ROUNDS = 25  # of some 0.7 ms for each shape, in turn; the fastest counts
HARMLESS = 0x3C  # a byte of weights and activations; as a scale it is an ordinary number


def choose_shapes(kernels: ObjectStore) -> dict[str, float]:
    """Measures the formats of stored products that were not measured yet, and notes the results.

    Compiles what that takes, and the products of the formats whose second shape is chosen. Returns
    how many times as fast these are. Raises LeptonError if something cannot be stored.
    """
    stored = [name for name in kernels.stored() if not name.endswith(UNPACKED)]
    products = {kind: [name for name in stored if f"linear_{kind}" in name] for kind in TWO_SHAPES}
    kinds = [kind for kind in sorted(TWO_SHAPES) if products[kind] and kind not in kernels.ratios]
    kernels.prepare(f"linear_{kind}{shape}" for kind in kinds for shape in ("", UNPACKED))
    lost = kernels.note_ratios({kind: gain(kernels, kind) for kind in kinds}) if kinds else None
    if lost:
        raise lost
    chosen = [kind for kind in kinds if kind in kernels.unpacked]
    kernels.prepare(name + UNPACKED for kind in chosen for name in products[kind])
    return {kind: kernels.ratios[kind] for kind in chosen}


def gain(kernels: ObjectStore, kind: str) -> float:
    """How many times as fast as the first shape the second one is, on one thread."""
    product = _Product(kind)
    runs = [product.run(kernels.address(f"linear_{kind}{shape}")) for shape in ("", UNPACKED)]
    fastest = [math.inf, math.inf]
    for _ in range(ROUNDS):
        fastest = [min(old, _seconds(run)) for old, run in zip(fastest, runs, strict=True)]
    return fastest[0] / fastest[1]


def _seconds(run: Callable[[], None]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


class _Product:
    """A product of made-up weights with made-up activations."""

    def __init__(self, kind: str) -> None:
        panel = layout.PANEL_ROWS * row_bytes(FORMATS[kind], COLUMNS)
        x_row = COLUMNS // layout.ACTIVATION_BLOCK * layout.ACTIVATION_BYTES
        scratch_bytes = product_scratch(TOKENS)
        sizes = ROWS // layout.PANEL_ROWS * panel, TOKENS * x_row, 4 * TOKENS * ROWS, scratch_bytes
        self._arrays = [np.full(size + layout.LINE, HARMLESS, np.uint8) for size in sizes]
        w, x, y, scratch = (-(-a.ctypes.data // layout.LINE) * layout.LINE for a in self._arrays)
        operands = {
            layout.WEIGHT: w,
            layout.PANEL_BYTES: panel,
            layout.COLUMNS: COLUMNS,
            layout.WEIGHT_ROWS: ROWS,
            layout.X: x,
            layout.X_ROW_BYTES: x_row,
            layout.Y: y,
            layout.COUNT_FIELD: layout.TOKENS,
            layout.COUNT_MULTIPLE: 1,
            layout.SCRATCH: scratch,
            layout.SCRATCH_BYTES: scratch_bytes,
        }
        self._record = Record([operands.get(n, 0) for n in range(max(operands) + 1)])
        self._step = np.full(layout.STEP_FIELDS, TOKENS, np.int64)

    def run(self, address: int) -> Callable[[], None]:
        kernel = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(address)

        def run() -> None:
            self._record.restart()
            kernel(self._record.address, self._step.ctypes.data, 0, 1)

        return run
