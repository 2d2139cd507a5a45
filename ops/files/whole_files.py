"""Files that appear whole: a draft beside them takes their place when it is complete.

The draft has a name that nobody can guess, is made for this process alone and has the final mode
before anything is in it. Its writer holds a lock on it: so a draft without one was left by a
process that was killed, and the next one who writes the same file removes it.
"""

import contextlib
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ops.files.own_files import SAFELY, named_file, not_a_file

if sys.platform != "win32":
    import fcntl

DRAFT = ".draft"
LONGEST_NAME = 200  # bytes of the file's name in its draft's; systems take 255


@contextmanager
def replacing(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """What is written into it is the file at `path`, on the disk, when the block ends well.

    A file that is there gives its mode, a new one gets `mode` less the umask. A link stays one.
    Raises ForeignFileError for a link of another user, UsageError for a pipe, a device or a
    folder; OSError. Then what was there is as it was.
    """
    target = named_file(path)
    old = _status(target)
    if old is not None and not stat.S_ISREG(old.st_mode):
        raise not_a_file(target, old)
    draft, handle = _draft(target, mode if old is None else 0o600)
    try:
        with open(handle, "wb") as file:
            if old is not None and sys.platform != "win32":
                with contextlib.suppress(PermissionError):  # only root may give files away
                    os.fchown(handle, old.st_uid, old.st_gid)
                os.fchmod(handle, stat.S_IMODE(old.st_mode))
            yield file
            file.flush()
            os.fsync(handle)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    _sweep(target)


def write_cached(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """A file of the cache: its owner's alone (0600), and lost at a power cut without harm.

    Its folder is the user's own (see `private_folder`). Raises OSError.
    """
    draft, handle = _draft(path, 0o600)
    try:
        with open(handle, "wb") as file:
            if sys.platform != "win32":
                os.fchmod(handle, 0o600)  # the umask may have taken more
            file.writelines(parts)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _draft(target: Path, mode: int) -> tuple[Path, int]:
    """A new file beside it, and its handle."""
    draft = target.with_name(f"{_beginning(target)}{os.urandom(8).hex()}{DRAFT}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | SAFELY, mode)
    with contextlib.suppress(OSError):  # some network file systems know no locks
        _lock(handle)
    return draft, handle


def _beginning(target: Path) -> str:
    return f".{os.fsdecode(os.fsencode(target.name)[:LONGEST_NAME])}."


def _lock(handle: int) -> None:
    if sys.platform != "win32":
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sweep(target: Path) -> None:
    """Removes drafts of the same file that nobody writes any more."""
    left = re.compile(re.escape(_beginning(target)) + f"[0-9a-f]{{16}}{re.escape(DRAFT)}")
    with contextlib.suppress(OSError):  # a folder that may not be listed
        for path in filter(lambda path: left.fullmatch(path.name), target.parent.iterdir()):
            _remove_left(path)


def _remove_left(path: Path) -> None:
    with contextlib.suppress(OSError):  # somebody writes it
        if sys.platform == "win32":
            path.unlink()  # fails for an open file
            return
        handle = os.open(path, os.O_RDONLY | SAFELY)
        try:
            status = os.fstat(handle)
            if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
                _lock(handle)
                path.unlink()
        finally:
            os.close(handle)
