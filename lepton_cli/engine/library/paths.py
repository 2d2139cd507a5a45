"""Lepton's own folders, and files that only their owner may read.

XDG folders on Linux and macOS, AppData on Windows; the XDG variables count on every system.
"""

import os
import sys
from pathlib import Path

from ops.files import own_files
from ops.files.own_files import named_file, open_file, open_own, own_file
from ops.files.whole_files import replace_file
from quant.errors import UsageError

WRITABLE = "a folder that can be written"
NO_HOME = Path(os.devnull)  # nothing lies below it, and nothing can be written there
LARGEST = 1 << 28  # bytes of a chat's file


def home() -> Path:
    """The person's home folder; NO_HOME where the system knows none, and where HOME is no path."""
    path = os.path.expanduser("~")
    empty = os.environ.get("HOME") == "" and sys.platform != "win32"  # not the root folder
    return Path(path) if os.path.isabs(path) and not empty else NO_HOME


def config_folder() -> Path:
    """For what a person writes: config.toml."""
    return _folder("XDG_CONFIG_HOME", ".config", "APPDATA", "lepton")


def cache_folder() -> Path:
    """For what can be made again: compiled kernels."""
    return _folder("XDG_CACHE_HOME", ".cache", "LOCALAPPDATA", "lepton/cache")


def state_folder() -> Path:
    """For what a person would miss: the input history and saved chats."""
    return _folder("XDG_STATE_HOME", ".local/state", "LOCALAPPDATA", "lepton/state")


def _folder(variable: str, default: str, windows_variable: str, windows_name: str) -> Path:
    chosen = os.environ.get(variable, "")
    if os.path.isabs(chosen):  # the XDG specification: a relative path is to be ignored
        return Path(chosen) / "lepton"
    local = os.environ.get(windows_variable)
    if sys.platform == "win32" and local:
        return Path(local) / windows_name
    return home() / default / "lepton"


def private_folder(path: Path) -> Path:
    """Makes the folder for its owner alone (0700), and gives it without links.

    Raises UsageError, also where others could put something there.
    """
    try:
        return own_files.private_folder(path)
    except OSError as error:
        raise _unwritable(path, error) from error


def private_file(path: Path) -> Path:
    """Makes the file, if it is not there, gives it to its owner alone (0600) and tells where it is.

    For those who open it by its name afterwards (the input history). Raises UsageError.
    """
    private_folder(path.parent)
    try:
        file = own_file(path)
        os.close(open_own(file, os.O_RDWR | os.O_CREAT))
    except OSError as error:
        raise _unwritable(path, error) from error
    return file


def open_kept(path: Path, flags: int = os.O_RDONLY) -> int:
    """The handle of a chat's file; a new one is its owner's alone (0600).

    In Lepton's own folders nobody else may be able to write it; one that a user named is theirs to
    choose. Raises UsageError, OSError.
    """
    if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(state_folder())):
        return open_own(own_file(path), flags)
    return open_file(named_file(path), flags)


def read_kept(path: Path) -> bytes:
    """All of it. Raises as `open_kept`, and UsageError for more than any chat has."""
    with open(open_kept(path), "rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise UsageError(f"{path} is no chat: it has over {LARGEST >> 20} MiB")
    return data


def write_private(path: Path, text: str) -> None:
    """Writes the whole file or leaves the old one; a new one is its owner's alone (0600).

    Raises UsageError, also where there is no such folder: a slip would become one.
    """
    try:
        with replace_file(path, 0o600) as file:
            # a lone surrogate, from a terminal that sends no UTF-8, must not lose the rest
            file.write(text.encode(errors="backslashreplace"))
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> UsageError:
    own = path.is_relative_to(state_folder())
    hint = f"set XDG_STATE_HOME to {WRITABLE}" if own else f"name {WRITABLE}"
    return UsageError(f"cannot write {path}: {error.strerror}", hint)
