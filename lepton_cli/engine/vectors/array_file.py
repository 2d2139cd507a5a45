"""A .npy file with a row for each text, and behind the array a line of JSON: what made it.

numpy.load reads the array and ignores what follows it. A text that failed has a row of NaN.
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
    """What made the vectors: a model, by its identity, its pooling, and a prefix before each text.

    `role`: of the texts, if it chose the prefix, from the family `prefixes` if that was named.
    Files of earlier versions do not tell the prefix.
    """

    model: str
    pooling: str
    prefix: str | None = None
    role: str | None = None
    prefixes: str | None = None

    def line(self) -> bytes:
        told: dict[str, Plain] = {
            "schema": SCHEMA,
            "model": self.model,
            "pooling": self.pooling,
            "prefix": self.prefix,
            "role": self.role,
            "prefixes": self.prefixes,
        }
        return json_line(told).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class ArrayOutput:
    """The array that is made of results; see MadeOutput."""

    width: int
    origin: Origin

    def is_made_of(self, path: Path, results: Iterable[bytes]) -> bool:
        """Whether it is an array of these results' vectors, or of the first of them.

        Raises UsageError for a pipe, a device or a folder; OSError.
        """
        with open(open_file(named_file(path)), "rb") as file:
            try:
                rows, _ = _read(file, path)
            except UsageError:  # it is no array
                return False
        wanted = islice(_rows(results, rows.shape[1]), len(rows))
        found = [np.array_equal(*pair, equal_nan=True) for pair in zip(rows, wanted, strict=False)]
        return len(found) == len(rows) and all(found)

    @contextmanager
    def writing(self, path: Path, results: Iterable[bytes]) -> Iterator[None]:
        """See MadeOutput."""
        with replace_file(path) as file:
            count = 0
            file.write(_header(count, self.width))
            for row in _rows(results, self.width):
                file.write(row.astype(FLOAT).tobytes())
                count += 1
            file.write(self.origin.line())
            file.seek(0)
            file.write(_header(count, self.width))
            yield


def _rows(results: Iterable[bytes], width: int) -> Iterator[Rows]:
    """The vector of each; NaN for one that has none of this width."""
    missing = np.full(width, np.nan, np.float32)
    for record in map(read_record, results):
        found = vectors_of(record)
        fits = found is not None and found.shape == (1, width)
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
    names = ("model", "pooling", "prefix", "role", "prefixes")
    model, pooling, prefix, role, family = (
        value if isinstance(value, str) else None for value in map(told.get, names)
    )
    return Origin(model or "", pooling or "", prefix, role, family)


def _header(rows: int, width: int) -> bytes:
    """As long for any number of rows: NumPy leaves room for it to grow."""
    header = BytesIO()
    shape = {"descr": FLOAT.str, "fortran_order": False, "shape": (rows, width)}
    np.lib.format.write_array_header_1_0(header, shape)
    return header.getvalue()
