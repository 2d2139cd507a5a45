"""A .npy file with a row for each text, and behind the array a line of JSON that says whose it is.

NumPy reads the array and leaves the line alone. A text that failed has a row of NaN.
"""

import json
import os
import re
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lepton_cli.engine.embedding.pooling import Rows
from lepton_cli.engine.jobs.records import read_record
from lepton_cli.engine.library.json_values import Plain, json_line
from lepton_cli.engine.vectors.records import vectors_of
from ops.files.own_files import named_file, open_file
from ops.files.whole_files import replace_file
from quant.errors import UsageError

SCHEMA = "lepton.vectors.v1"
LONGEST = 1 << 16  # bytes of the line behind the array
FLOAT = np.dtype("<f4")
MAGIC = b"\x93NUMPY\x01\x00"
START = struct.Struct("<8sH")  # with the header's length
HEADER = re.compile(
    rb"\{'descr': '(<f[248])', 'fortran_order': False, 'shape': \((\d{1,15}), (\d{1,9})\), \}\s*"
)


@dataclass(frozen=True, slots=True)
class Origin:
    """What made the vectors: a model, by its identity, and settings, by their digests.

    `role`: of the texts, where their prefixes were chosen by it.
    """

    model: str
    pooling: str
    normalized: bool
    role: str | None = None
    prefixes: str | None = None

    def line(self) -> bytes:
        told: dict[str, Plain] = {
            "schema": SCHEMA,
            "model": self.model,
            "pooling": self.pooling,
            "normalized": self.normalized,
            "role": self.role,
            "prefixes": self.prefixes,
        }
        return json_line(told).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class ArrayOutput:
    """The array that is made of results; see FileOutput."""

    width: int
    origin: Origin

    def is_made_of(self, path: Path, results: Iterable[bytes]) -> bool:
        """Whether the file holds the vectors of these results. Raises UsageError, OSError."""
        try:
            rows, _ = read_array(path)
        except UsageError:
            return False
        wanted = islice(self._rows(results), len(rows))
        if rows.shape[1] != self.width:
            return False
        found = sum(
            np.array_equal(row, other, equal_nan=True)
            for row, other in zip(rows, wanted, strict=False)
        )
        return found == len(rows)

    @contextmanager
    def writing(self, path: Path, results: Iterable[bytes]) -> Iterator[None]:
        """Writes a draft that replaces the file when the block succeeds. Raises OSError."""
        with replace_file(path) as file:
            count = 0
            file.write(_header(count, self.width))
            for row in self._rows(results):
                file.write(row.astype(FLOAT).tobytes())
                count += 1
            file.write(self.origin.line())
            file.seek(0)
            file.write(_header(count, self.width))
            yield

    def _rows(self, results: Iterable[bytes]) -> Iterator[Rows]:
        missing = np.full(self.width, np.nan, np.float32)
        for record in map(read_record, results):
            found = vectors_of(record)
            fits = found is not None and found.shape == (1, self.width)
            yield found[0] if found is not None and fits else missing


def read_array(path: Path) -> tuple[Rows, Origin | None]:
    """(n, width), and what made them where the file says so. Raises UsageError."""
    try:
        with open(open_file(named_file(path)), "rb") as file:
            return _read(file, path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "check its path") from error


def _read(file: BinaryIO, path: Path) -> tuple[Rows, Origin | None]:
    """NumPy's own reader evaluates the header as Python, and fails in many ways."""
    start = file.read(START.size)
    header = b""
    if len(start) == START.size and start.startswith(MAGIC):
        header = file.read(START.unpack(start)[1])
    found = HEADER.fullmatch(header)
    if found is None:
        message = f"{path} is no array of vectors (.npy)"
        raise UsageError(message, "make one: lepton embed MODEL -f FILE -o OUT.npy")
    kind, shape = np.dtype(found[1].decode()), (int(found[2]), int(found[3]))
    size = os.fstat(file.fileno()).st_size - file.tell()
    if shape[0] * shape[1] * kind.itemsize > size:
        message = f"{path} is cut off: {size} bytes of an array of the shape {shape}"
        raise UsageError(message, "make it anew: lepton embed MODEL -f FILE -o OUT.npy")
    rows = np.fromfile(file, kind, shape[0] * shape[1]).reshape(shape)
    with np.errstate(over="ignore"):
        return rows.astype(np.float32, copy=False), _origin(file.read(LONGEST))


def _origin(line: bytes) -> Origin | None:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or told.get("schema") != SCHEMA:
        return None
    kind = str(told.get("model")), str(told.get("pooling")), bool(told.get("normalized"))
    role, prefixes = (
        value if isinstance(value, str) else None
        for value in (told.get("role"), told.get("prefixes"))
    )
    return Origin(*kind, role, prefixes)


def _header(rows: int, width: int) -> bytes:
    """As long for any number of rows: NumPy leaves room for it to grow."""
    header = BytesIO()
    shape = {"descr": FLOAT.str, "fortran_order": False, "shape": (rows, width)}
    np.lib.format.write_array_header_1_0(header, shape)
    return header.getvalue()
