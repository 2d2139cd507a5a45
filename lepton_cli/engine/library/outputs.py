"""Output files, pipes and devices that the user named, and files that grow line by line."""

import contextlib
import errno
import os
import shlex
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lepton_cli.engine.library.sizes import gigabytes
from ops.files.own_files import named_file, not_a_file, open_file
from ops.files.whole_files import replace_file
from quant.errors import LeptonError, UsageError

HEAD = 4096  # bytes at the start of a file that are searched for its mark


def check_named(path: Path, *, mark: bytes) -> None:
    """Raises UsageError if `write_named` would fail, or would replace a file without the mark.

    The mark is text near the beginning of every file of the kind that is written.
    """
    try:
        file = named_file(path)
        if file.exists():
            with open(open_file(file), "rb") as there:
                if mark not in there.read(HEAD):
                    raise UsageError(
                        f"{path} exists and is not a file of this kind", "choose another file"
                    )
        with contextlib.suppress(_ProbeOnlyError), replace_file(path):
            raise _ProbeOnlyError
    except OSError as error:
        raise _failed(path, error) from error


class _ProbeOnlyError(Exception):
    """Abandons the draft: nothing is to be written yet."""


def write_named(path: Path, data: bytes) -> None:
    """Atomically writes a file that the user named. Raises UsageError."""
    try:
        with replace_file(path) as file:
            file.write(data)
    except OSError as error:
        raise _failed(path, error) from error


def check_room(folder: Path, needed: int, doing: str, hint: str) -> None:
    """Raises LeptonError, before anything is written, if the disk has less than `needed` bytes.

    `doing`: what is to happen with them, for the message: "written", "downloaded".
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        message = f"{gigabytes(needed)} are to be {doing}, and the disk of {folder} has"
        raise LeptonError(f"{message} {gigabytes(free)} free", hint)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A draft that replaces the file when the block succeeds, also if the disk is full at its end.

    Raises LeptonError where it cannot be written: nothing has changed then. UsageError.
    """
    try:
        with replace_file(path) as file:
            yield file
    except OSError as error:
        hint = "nothing has changed; free some room, or write to another folder"
        raise LeptonError(f"cannot write {path}: {error.strerror}", hint) from error


def append_lines(handle: int, data: bytes) -> None:
    """Appends whole lines to a file and syncs it. Raises OSError.

    After an incomplete last line (from a crash) a newline is added first.
    """
    if os.lseek(handle, 0, os.SEEK_END):
        os.lseek(handle, -1, os.SEEK_END)
        data = data if os.read(handle, 1) == b"\n" else b"\n" + data
    if os.write(handle, data) < len(data):  # one write: another program may append too
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(handle)


def is_stream(path: Path) -> bool:
    """Whether it is a pipe or a device, not a file or folder."""
    try:
        mode = path.stat().st_mode
    except OSError:  # opening it will report that
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def open_stream(path: Path) -> int:
    """Opens a pipe or a device for writing; a pipe must already have a reader.

    Raises UsageError for anything else, or for a path through another user's link; OSError.
    """
    named_file(path)
    status = path.stat()
    if not (stat.S_ISFIFO(status.st_mode) or stat.S_ISCHR(status.st_mode)):
        raise not_a_file(path, status)
    waits = getattr(os, "O_NONBLOCK", 0)  # otherwise opening a pipe without reader would block
    try:
        handle = os.open(path, os.O_WRONLY | waits | getattr(os, "O_NOCTTY", 0))
    except OSError as error:
        if error.errno == errno.ENXIO:
            reader = f"cat {shlex.quote(str(path))} &"
            raise UsageError(f"the pipe {path} has no reader", f"first start: {reader}") from error
        raise
    if waits:
        os.set_blocking(handle, True)
    return handle


def _failed(path: Path, error: OSError) -> UsageError:
    return UsageError(f"cannot write {path}: {error.strerror}", "choose another file")
