"""Atomic file replacement: a draft beside the file is renamed to it when it is complete.

The draft has an unguessable name, is created exclusively, and has the final mode before anything is
written to it. Its writer holds a lock on it, so a draft without a lock was left by a killed
process, and the next writer of the same file removes it.
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

from ops.files.own_files import SAFE_FLAGS, named_file, not_a_file

if sys.platform != "win32":
    import fcntl

DRAFT = ".draft"
LONGEST_NAME = 200  # bytes of the file's name within the draft's; file systems allow 255


@contextmanager
def replace_file(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Yields a draft that replaces the file at `path`, synced to disk, when the block succeeds.

    An existing file's mode is kept; a new one gets `mode` minus the umask. A link stays a link.
    Raises ForeignFileError for another user's link, UsageError for a pipe, a device or a folder;
    OSError. The old file is then unchanged.
    """
    target = named_file(path)
    old = _status(target)
    if old is not None and not stat.S_ISREG(old.st_mode):
        raise not_a_file(target, old)
    draft, handle = _draft(target, mode if old is None else 0o600)
    try:
        with open(handle, "wb") as file:
            if old is not None and sys.platform != "win32":
                with contextlib.suppress(PermissionError):  # only root may change the owner
                    os.fchown(handle, old.st_uid, old.st_gid)
                os.fchmod(handle, stat.S_IMODE(old.st_mode))
            yield file
            file.flush()
            os.fsync(handle)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    _remove_stale_drafts(target)


def write_cached(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Writes a cache file atomically, with mode 0600. It is not synced: losing it is harmless.

    Its folder must be private (see `private_folder`). Raises OSError.
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
    """Creates and locks a draft beside the file; returns its path and descriptor."""
    draft = target.with_name(f"{_draft_prefix(target)}{os.urandom(8).hex()}{DRAFT}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | SAFE_FLAGS, mode)
    with contextlib.suppress(OSError):  # some network file systems have no locks
        _lock(handle)
    return draft, handle


def _draft_prefix(target: Path) -> str:
    return f".{os.fsdecode(os.fsencode(target.name)[:LONGEST_NAME])}."


def _lock(handle: int) -> None:
    if sys.platform != "win32":
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_being_written(path: Path) -> bool:
    """Whether a living process writes a draft of the file; drafts of killed ones are removed."""
    _remove_stale_drafts(path)
    return any(_drafts(path))


def _remove_stale_drafts(target: Path) -> None:
    """Removes drafts of the same file whose writer is gone."""
    for path in _drafts(target):
        remove_if_unlocked(path)


def _drafts(target: Path) -> list[Path]:
    named = re.compile(re.escape(_draft_prefix(target)) + f"[0-9a-f]{{16}}{re.escape(DRAFT)}")
    try:
        return [path for path in target.parent.iterdir() if named.fullmatch(path.name)]
    except OSError:  # a folder that may not be listed
        return []


def remove_if_unlocked(path: Path) -> None:
    """Removes a draft whose writer is gone."""
    with contextlib.suppress(OSError):  # locked: its writer is alive
        if sys.platform == "win32":
            path.unlink()  # fails for an open file
            return
        handle = os.open(path, os.O_RDONLY | SAFE_FLAGS)
        try:
            status = os.fstat(handle)
            if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
                _lock(handle)
                path.unlink()
        finally:
            os.close(handle)
