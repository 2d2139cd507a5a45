"""Ownership checks: files that another user could have written are not trusted.

What Lepton stores for itself (compiled kernels, which are code; weights, prompts, chats) is
private: folders get mode 0700 and files 0600 whatever the umask. It is read only where nobody else
could have written it: the folder and the file belong to the user and are writable by nobody else,
and every folder and link of the path belongs to the user or to the system. A file that the user
names may be anywhere, but the path must not go through another user's link.

On Windows nothing of this is checked: a user's folders are private by inherited permissions.
"""

import contextlib
import errno
import os
import shlex
import stat
import sys
from collections.abc import Callable
from pathlib import Path

from quant.errors import UsageError

if sys.platform != "win32":
    import grp
    import pwd

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
MAX_LINKS = 40  # in one path, as in Linux
SAFE_FLAGS = 0
"""Flags for os.open: do not follow links, do not block on pipes, not inherited by children."""
for _flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"):
    SAFE_FLAGS |= getattr(os, _flag, 0)
OWN_FOLDERS_HINT = "set XDG_CACHE_HOME and XDG_STATE_HOME to folders of your own"

Check = Callable[[Path, os.stat_result], None]


class ForeignFileError(UsageError):
    """A file, folder or link that another user made or can change."""


def own_folder(path: Path) -> Path:
    """The folder's path with links resolved, whether or not it exists.

    Raises ForeignFileError if others could put something there; OSError.
    """
    if sys.platform == "win32":
        return Path(os.path.realpath(path))
    real = _resolve(path, _check_on_path)
    with contextlib.suppress(FileNotFoundError):
        status = real.lstat()
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(real))
        _check_own(real, status)
    return real


def private_folder(path: Path) -> Path:
    """Creates the folder and its missing parents; returns its path with links resolved.

    Raises ForeignFileError, OSError.
    """
    folder = own_folder(path)
    for place in reversed((folder, *folder.parents)):
        if not place.exists():
            with contextlib.suppress(FileExistsError):
                place.mkdir(0o700)
                place.chmod(0o700)  # the umask may have taken more
    own_folder(folder)  # checked again: another process may have made it meanwhile
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & ~0o700:
        folder.chmod(mode & 0o700)
    return folder


def check_own_folder(path: Path) -> None:
    """Raises ForeignFileError if others could put something there; it need not exist."""
    with contextlib.suppress(OSError):
        own_folder(path)


def own_file(path: Path) -> Path:
    """The file's path with links resolved, whether or not it exists.

    Raises ForeignFileError, OSError.
    """
    return own_folder(path.parent) / path.name if sys.platform == "win32" else _own_file(path)


def _own_file(path: Path) -> Path:
    real = _resolve(path, _check_on_path)
    own_folder(real.parent)
    return real


def open_file(path: Path, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
    """Opens a regular file and returns the descriptor; never blocks on a pipe.

    Raises UsageError for a link, a pipe or a device; OSError.
    """
    handle = os.open(path, flags | SAFE_FLAGS, mode)
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise not_a_file(path, status)
    return handle


def open_own(path: Path, flags: int = os.O_RDONLY) -> int:
    """Opens a file in a folder of the user's own (see `own_folder`); a new one gets mode 0600.

    Raises ForeignFileError if others can write to the file, otherwise as `open_file`.
    """
    handle = open_file(path, flags)
    if sys.platform == "win32":
        return handle
    try:
        status = os.fstat(handle)
        _check_own(path, status)
        if flags & os.O_CREAT and stat.S_IMODE(status.st_mode) != 0o600:
            os.fchmod(handle, 0o600)
    except BaseException:
        os.close(handle)
        raise
    return handle


def read_own(path: Path, most: int) -> bytes:
    """At most `most` bytes of a file. Raises as `open_own`."""
    with open(open_own(path), "rb") as file:
        return file.read(most)


def read_beside(path: Path, most: int, code: Path) -> bytes:
    """At most `most` bytes of a file installed beside `code`, trusted as far as the code itself.

    Raises ForeignFileError if somebody could have written it who could not write the code,
    UsageError for a pipe or a device; OSError.
    """
    with open(open_file(path), "rb") as file:
        if sys.platform != "win32":
            known = code.stat()
            _check_beside(path.parent, path.parent.lstat(), known)
            _check_beside(path, os.fstat(file.fileno()), known)
        return file.read(most)


def named_file(path: Path) -> Path:
    """The path, with links resolved, of a file that the user named; it need not exist yet.

    Raises ForeignFileError if the path goes through a link of another user, or if another user's
    file is there, in a world-writable folder; OSError.
    """
    if sys.platform == "win32":
        return Path(os.path.realpath(path))
    return _resolve(path, _check_named)


def not_a_file(path: Path, status: os.stat_result) -> UsageError:
    """The error for a pipe, a device or a folder where a file is expected."""
    what = next((what for test, what in KINDS if test(status.st_mode)), "something else")
    return UsageError(f"{path} is {what}, not a file", "choose another file")


KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a disk"),
    (stat.S_ISLNK, "a link"),
)


def _resolve(path: Path, check: Check) -> Path:
    """Resolves the links of a path; `check` is called for each part of it, the last included."""
    whole = Path.cwd() / path
    root, links = Path(whole.anchor), 0
    place, rest = root, list(whole.parts[:0:-1])
    check(root, root.lstat())
    while rest:
        name = rest.pop()
        if name == "..":  # relative to the target of a link
            place = place.parent
            continue
        place /= name
        try:
            status = place.lstat()
        except FileNotFoundError:
            continue
        if rest and not (stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode)):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(place))
        check(place, status)
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if links > MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
            target = Path(os.readlink(place))
            place = root if target.is_absolute() else place.parent
            rest += target.parts[: 0 if target.is_absolute() else None : -1]
    return place


def _check_on_path(place: Path, status: os.stat_result) -> None:
    """Checks a folder or link of the path. In a sticky folder (/tmp) others cannot replace ours."""
    if not _is_trusted(status.st_uid):
        raise _foreign(place, status, OWN_FOLDERS_HINT)
    is_link, sticky = stat.S_ISLNK(status.st_mode), status.st_mode & stat.S_ISVTX
    if status.st_mode & OTHERS_WRITE and not (is_link or sticky or _group_is_private(status)):
        raise _open_to_others(place, status)


def _check_own(place: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        is_folder = stat.S_ISDIR(status.st_mode)
        raise _foreign(place, status, OWN_FOLDERS_HINT if is_folder else f"rm {_quoted(place)}")
    if status.st_mode & OTHERS_WRITE:
        raise _open_to_others(place, status)


def _check_beside(place: Path, status: os.stat_result, code: os.stat_result) -> None:
    if not (_is_trusted(status.st_uid) or status.st_uid == code.st_uid):
        raise _foreign(place, status, "install Lepton again")
    if not stat.S_ISLNK(status.st_mode) and status.st_mode & OTHERS_WRITE & ~code.st_mode:
        raise _open_to_others(place, status)


def _check_named(place: Path, status: os.stat_result) -> None:
    if _is_trusted(status.st_uid):
        return
    above = place.parent.lstat().st_mode
    planted = stat.S_ISREG(status.st_mode) and above & stat.S_ISVTX and above & OTHERS_WRITE
    if stat.S_ISLNK(status.st_mode) or planted:
        raise _foreign(place, status, "choose another file")


def _is_trusted(owner: int) -> bool:
    """Whether it is the user or the owner of the system (in a container not always number 0)."""
    return owner in (os.geteuid(), 0) or owner == os.lstat("/").st_uid


def _group_is_private(status: os.stat_result) -> bool:
    """Whether the user is the group's only member: many systems give every user such a group."""
    if os.geteuid() == 0 or status.st_mode & stat.S_IWOTH:
        return False
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    is_own = (group.gr_gid, group.gr_name) == (user.pw_gid, user.pw_name)
    return is_own and set(group.gr_mem) <= {user.pw_name}


def _foreign(place: Path, status: os.stat_result, cure: str) -> ForeignFileError:
    try:
        owner = f"user {pwd.getpwuid(status.st_uid).pw_name}"
    except KeyError:
        owner = f"user number {status.st_uid}"
    what = "is a link of" if stat.S_ISLNK(status.st_mode) else "belongs to"
    return ForeignFileError(f"{place} {what} {owner}", cure)


def _open_to_others(place: Path, status: os.stat_result) -> ForeignFileError:
    message = f"others can write to {place} (its mode is {stat.S_IMODE(status.st_mode):04o})"
    return ForeignFileError(message, f"chmod go-w {_quoted(place)}")


def _quoted(place: Path) -> str:
    return shlex.quote(str(place))
