"""Reads text, which must be UTF-8, with or without a byte order mark; errors say where.

In arguments and variables Python represents a byte that is not UTF-8 by a lone surrogate
(`surrogateescape`).
"""

import codecs
import glob
import os
import shlex
from pathlib import Path
from typing import BinaryIO

from lepton_cli.engine.library.catalogue import MAGIC
from quant.errors import UsageError

MAX_BYTES = 1 << 28  # more than any context holds: probably an endless stream
MARKS = {  # the longer ones first: UTF-32's begins with UTF-16's
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
PIECE = 1 << 20  # bytes read at once


def read_text(name: str) -> str:
    """A text file without its last newline. Raises UsageError naming file and problem."""
    path = Path(name)
    try:
        with path.open("rb") as file:
            raw = read_limited(file, name)
    except IsADirectoryError as error:
        raise _is_folder(path) from error
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}", _near(name)) from error
    return without_newline(decoded(raw, name, path))


def read_limited(file: BinaryIO, place: str) -> bytes:
    """Reads all of it. Raises UsageError above MAX_BYTES.

    Reads in pieces: a single `read(MAX_BYTES)` would allocate that much at once.
    """
    raw, read = bytearray(), PIECE
    while read == PIECE and len(raw) <= MAX_BYTES:
        piece = file.read(PIECE)  # a short one is the last: a terminal reports its end only once
        raw += piece
        read = len(piece)
    if len(raw) > MAX_BYTES:
        raise UsageError(f"{place} does not end within {MAX_BYTES} bytes", "give less text")
    return bytes(raw)


def refuse_other_encoding(raw: bytes, place: str, path: Path | None = None) -> None:
    """Raises UsageError for UTF-16, UTF-32 and GGUF; `path`: the file, for the hint."""
    encoding = other_encoding(raw)
    if encoding and raw.startswith(MAGIC):
        raise UsageError(f"{place} is a GGUF file, not a text", "name a text file in its place")
    if encoding:
        hint = f"convert it: {_conversion(encoding, path)}"
        raise UsageError(f"{place} is {encoding}, not UTF-8", hint)


def decoded(raw: bytes, place: str, path: Path | None = None) -> str:
    """Decodes bytes, without a byte order mark; `path`: the file, for the hint.

    Raises UsageError with the encoding that it is, or the first invalid byte.
    """
    refuse_other_encoding(raw, place, path)
    return utf8(raw, place, f"convert it, for example: {_conversion('WINDOWS-1252', path)}")


def checked(text: str, place: str) -> str:
    """Checks an argument or the value of a variable, like `decoded`."""
    return utf8(os.fsencode(text), place, "write it in UTF-8; `locale charmap` names this shell's")


def utf8(raw: bytes, place: str, hint: str) -> str:
    """Text without a byte order mark. Raises UsageError with the first byte that is not UTF-8."""
    try:
        return unmarked(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        byte = f"byte {raw[error.start]:#04x} at {error.start}"
        raise UsageError(f"{place} is not UTF-8: {byte}", hint) from error


def without_newline(text: str) -> str:
    """The text without one newline at the end, like llama.cpp."""
    return text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")


def unmarked(text: str) -> str:
    return text.removeprefix("\ufeff")


def other_encoding(raw: bytes) -> str | None:
    """Detects UTF-16 or UTF-32 by the byte order mark, or by the positions of zero bytes."""
    for mark, encoding in MARKS.items():
        if raw.startswith(mark):
            return encoding
    zeros = raw.count(0)
    if not zeros or (4 * zeros < len(raw) and _is_utf8(raw)):  # none, or a stray one
        return None
    first, second, third, last = (raw[n::4].count(0) / (len(raw) // 4 or 1) for n in range(4))
    if last >= 1 and third > 0.5:
        return "UTF-32LE"
    if first >= 1 and second > 0.5:
        return "UTF-32BE"
    return "UTF-16LE" if second + last >= first + third else "UTF-16BE"


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_folder(path: Path) -> UsageError:
    inside = next((file for file in sorted(path.iterdir()) if file.is_file()), None)
    hint = f"name a file in it: {shlex.quote(str(inside))}" if inside else "name a file"
    return UsageError(f"{path} is a folder, not a text file", hint)


def _near(name: str) -> str:
    """The hint for a missing file: perhaps a quoted shell pattern."""
    matches = sorted(glob.glob(name)) if set(name) & set("*?[") else []
    return (
        f"name one file, not a pattern: {shlex.quote(matches[0])}" if matches else "check the path"
    )


def _conversion(encoding: str, path: Path | None) -> str:
    command = f"iconv -f {encoding} -t UTF-8"
    if path is None:
        return command
    converted = path.with_name(f"{path.stem}-utf8{path.suffix}")
    return f"{command} {shlex.quote(str(path))} > {shlex.quote(str(converted))}"
