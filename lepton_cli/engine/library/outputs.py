"""What is written to: files, pipes and devices that a user named, and files that grow by lines."""

import contextlib
import errno
import os
import shlex
import stat
from pathlib import Path

from ops.files.own_files import named_file, not_a_file, open_file
from ops.files.whole_files import replace_file
from quant.errors import UsageError

HEAD = 4096  # bytes of a file in which its mark is looked for


def check_named(path: Path, *, mark: bytes) -> None:
    """Raises UsageError where `write_named` would, or where a file without the mark would be lost.

    The mark is what all files of the kind that is to be written have near their beginning.
    """
    try:
        file = named_file(path)
        if file.exists():
            with open(open_file(file), "rb") as there:
                if mark not in there.read(HEAD):
                    raise UsageError(
                        f"{path} is there, and not ours to replace", "choose another file"
                    )
        with contextlib.suppress(_NotYetError), replace_file(path):
            raise _NotYetError
    except OSError as error:
        raise _failed(path, error) from error


class _NotYetError(Exception):
    """There is nothing to write yet."""


def write_named(path: Path, data: bytes) -> None:
    """Writes the whole file that a user named, or leaves the old one. Raises UsageError."""
    try:
        with replace_file(path) as file:
            file.write(data)
    except OSError as error:
        raise _failed(path, error) from error


def append_lines(handle: int, data: bytes) -> None:
    """Adds whole lines to a file, on the disk. Raises OSError.

    Behind a line that a crash has torn they begin a line of their own.
    """
    if os.lseek(handle, 0, os.SEEK_END):
        os.lseek(handle, -1, os.SEEK_END)
        data = data if os.read(handle, 1) == b"\n" else b"\n" + data
    if os.write(handle, data) < len(data):  # in one piece: another program may write here too
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(handle)


def is_stream(path: Path) -> bool:
    """Whether what a user named takes bytes as they come: a pipe or a device, no file or folder."""
    try:
        mode = path.stat().st_mode
    except OSError:  # whoever opens it will say so
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def open_stream(path: Path) -> int:
    """A pipe or a device to write to, which must have its reader already.

    Raises UsageError for what is neither, or that another user's link leads to; OSError.
    """
    named_file(path)
    status = path.stat()
    if not (stat.S_ISFIFO(status.st_mode) or stat.S_ISCHR(status.st_mode)):
        raise not_a_file(path, status)
    waits = getattr(os, "O_NONBLOCK", 0)  # else a pipe without a reader would hold us
    try:
        handle = os.open(path, os.O_WRONLY | waits | getattr(os, "O_NOCTTY", 0))
    except OSError as error:
        if error.errno == errno.ENXIO:
            reader = f"cat {shlex.quote(str(path))} &"
            raise UsageError(f"nobody reads the pipe {path}", f"first start: {reader}") from error
        raise
    if waits:
        os.set_blocking(handle, True)
    return handle


def _failed(path: Path, error: OSError) -> UsageError:
    return UsageError(f"cannot write {path}: {error.strerror}", "choose another file")
