"""Encodes rows of weights with the CPU's kernels, on all cores."""

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import local
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ops.compiled.kernel_folder import Compiling
from ops.cpu.formats import ENCODE
from ops.cpu.objects import ObjectStore
from ops.encoding.grids import DISTANCES, grid_of
from quant.bits import Bytes, Floats
from quant.errors import ModelFileError
from quant.format import Format, dequantize, row_bytes

ENCODED = frozenset(
    (
        *("F16", "BF16", "MXFP4", "NVFP4", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"),
        *("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "Q1_0", "Q2_0", "TQ1_0", "TQ2_0"),
        *("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_NL", "IQ4_XS"),
    )
)
"""The formats that have a kernel."""
NEEDING_IMPORTANCE = frozenset(("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS"))
"""Those that lose too much without the importance of columns."""
SCRATCH_BYTES = 1 << 15  # of a thread; kernels use up to 23,296
LINE = 64
HALF_INFINITY = np.uint16(0x7C00)  # the exponent of f16 infinities and NaN
AT_ONCE = 1 << 18
"""Weights that a thread takes at a time: some milliseconds with a fast format."""

TOO_LARGE_HINT = "keep them in BF16 or F32: --tensor-type of quantize, --type of merge-lora"
WEIGHTS_HINT = "the file is damaged or wrongly converted: get another one"


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of a tensor, in the format that they have. `name`: for messages."""

    name: str
    format: Format
    columns: int
    data: Bytes  # (R, row bytes)

    def values(self, first: int, last: int) -> Floats:
        """Raises ModelFileError unless all are finite."""
        values = dequantize(self.format, self.data[first:last])
        if not np.isfinite(values).all():
            raise ModelFileError(f"the tensor {self.name} holds NaN or Inf", WEIGHTS_HINT)
        return values


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
        self, kind: Format, rows: Rows, importance: Floats | None = None
    ) -> Bytes:  # (R, source bytes), (N,) -> (R, row bytes)
        """`importance`: of each column. Raises ModelFileError for values that it cannot hold."""
        out = np.empty((len(rows.data), row_bytes(kind, rows.columns)), np.uint8)
        if importance is not None:
            importance = np.ascontiguousarray(importance, np.float32)
        kernel = self._kernel(kind)
        step = max(1, AT_ONCE // rows.columns)

        def some(first: int) -> None:
            values = np.ascontiguousarray(rows.values(first, first + step), np.float32)
            kernel(values, importance, out[first : first + step])

        for _ in self._pool.map(some, range(0, len(out), step)):
            pass  # raises what a thread raised
        _check_scales(kind, rows.name, out)
        return out

    def _kernel(self, kind: Format) -> Callable[[Floats, Floats | None, Bytes], None]:
        if kind.name == "F32":
            return lambda values, importance, out: np.copyto(out, values.view(np.uint8))
        address = self._store.address(_name(kind))
        function = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(address)
        tables = grid_of(kind.name).addresses if kind.name in DISTANCES else None

        def run(values: Floats, importance: Floats | None, out: Bytes) -> None:
            operands = _operands(values, importance, out, self._scratch(), tables)
            function(operands.ctypes.data, 0, 0, 1)

        return run

    def _scratch(self) -> NDArray[np.uint8]:
        """Memory of this thread, at a cache line's beginning."""
        if not hasattr(self._own, "scratch"):
            memory = np.zeros(SCRATCH_BYTES + LINE, np.uint8)
            start = -memory.ctypes.data % LINE
            self._own.scratch = memory[start : start + SCRATCH_BYTES]
        scratch: NDArray[np.uint8] = self._own.scratch
        return scratch


def _name(kind: Format) -> str:
    return ENCODE + kind.name


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


def _check_scales(kind: Format, name: str, out: Bytes) -> None:
    """Raises ModelFileError where an f16 is too small for the weights."""
    blocks = out.reshape(-1).view(kind.block)
    names = [name for name in ("d", "m", "dmin") if name in (kind.block.names or ())]
    for bits in [blocks] if kind.name == "F16" else [blocks[name] for name in names]:
        if ((bits & HALF_INFINITY) == HALF_INFINITY).any():
            message = f"the tensor {name} holds weights that are too large for {kind.name}"
            raise ModelFileError(message, TOO_LARGE_HINT)
