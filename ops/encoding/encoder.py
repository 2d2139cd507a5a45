"""Encodes rows of weights with the CPU's kernels, on all cores."""

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ops.compiled.kernel_folder import Compiling
from ops.cpu.objects import ObjectStore
from ops.encoding.grids import DISTANCES, grid_of
from quant.bits import Bytes, Floats
from quant.format import Format, row_bytes

ENCODED = frozenset(
    "F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S "
    "IQ3_XXS IQ3_S IQ4_NL IQ4_XS TQ1_0 TQ2_0 Q1_0 Q2_0 MXFP4 NVFP4".split()
)
"""The formats that have a kernel."""
SCRATCH_BYTES = 1 << 16  # of a thread; kernels use up to 49,152
LINE = 64
AT_ONCE = 1 << 18
"""Weights that a thread takes at a time: some milliseconds with a fast format."""

Kernel = Callable[[int, int, int, int], None]


class Encoder:
    """Owns the threads, and the kernels that were loaded. The bytes do not depend on `threads`."""

    def __init__(self, folder: Path, threads: int, on_compile: Callable[[Compiling], None]) -> None:
        """`folder`: of compiled kernels. Raises LeptonError."""
        self._store = ObjectStore(folder, on_compile)
        self._pool = ThreadPoolExecutor(threads, "lepton-encode")
        self._own = local()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def prepare(self, formats: list[Format]) -> None:
        """Loads their kernels; compiles those that no run has compiled yet. Raises LeptonError."""
        self._store.prepare(_name(kind) for kind in formats if kind.name in ENCODED)

    def encode(
        self, kind: Format, rows: Floats, importance: Floats | None = None
    ) -> Bytes:  # (R, N), (N,) -> (R, row bytes)
        """`importance`: of each column. Raises LeptonError if a kernel cannot be compiled."""
        rows = np.ascontiguousarray(rows, np.float32)
        if kind.name == "F32":
            return rows.view(np.uint8)
        out = np.empty((len(rows), row_bytes(kind, rows.shape[1])), np.uint8)
        kernel = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(self._store.address(_name(kind)))
        tables = grid_of(kind.name).addresses if kind.name in DISTANCES else None
        step = max(1, AT_ONCE // rows.shape[1])

        def some(first: int) -> None:
            part, target = rows[first : first + step], out[first : first + step]
            operands = _operands(part, importance, target, self._scratch(), tables)
            kernel(operands.ctypes.data, 0, 0, 1)

        for _ in self._pool.map(some, range(0, len(rows), step)):
            pass  # raises what the thread raised
        return out

    def _scratch(self) -> NDArray[np.uint8]:
        """Memory of this thread, at a cache line's beginning."""
        if not hasattr(self._own, "scratch"):
            memory = np.zeros(SCRATCH_BYTES + LINE, np.uint8)
            start = -memory.ctypes.data % LINE
            self._own.scratch = memory[start : start + SCRATCH_BYTES]
        scratch: NDArray[np.uint8] = self._own.scratch
        return scratch


def _name(kind: Format) -> str:
    return f"encode_{kind.name}"


def _operands(
    rows: Floats,
    importance: Floats | None,
    out: Bytes,
    scratch: Bytes,
    tables: NDArray[np.int64] | None,
) -> NDArray[np.int64]:
    """As `ops.cpu.kernels.encoding.rows` reads them."""
    arrays = rows, importance, out
    addresses = [0 if array is None else array.ctypes.data for array in arrays]
    sizes = [*rows.shape, out.shape[1], scratch.ctypes.data]
    return np.array([*addresses, *sizes, 0 if tables is None else tables.ctypes.data], np.int64)
