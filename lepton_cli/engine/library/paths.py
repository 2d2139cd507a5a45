"""Lepton's own folders, and private files.

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
NO_HOME = Path(os.devnull)  # nothing exists or can be written below it
MAX_CHAT = 1 << 28  # bytes of a chat's file


def home() -> Path:
    """The user's home folder; NO_HOME if there is none, or if HOME is not an absolute path."""
    path = os.path.expanduser("~")
    empty = os.environ.get("HOME") == "" and sys.platform != "win32"  # not the root folder
    return Path(path) if os.path.isabs(path) and not empty else NO_HOME


def config_folder() -> Path:
    """For files that the user writes: config.toml."""
    return _folder("XDG_CONFIG_HOME", ".config", "APPDATA", "lepton")


def cache_folder() -> Path:
    """For files that can be made again: compiled kernels."""
    return _folder("XDG_CACHE_HOME", ".cache", "LOCALAPPDATA", "lepton/cache")


def kernel_folder() -> Path:
    return cache_folder() / "kernels"


def weight_folder() -> Path:
    """For packed weights."""
    return cache_folder() / "weights"


def state_folder() -> Path:
    """For data that must not be lost: the input history and saved chats."""
    return _folder("XDG_STATE_HOME", ".local/state", "LOCALAPPDATA", "lepton/state")


def _folder(variable: str, default: str, windows_variable: str, windows_name: str) -> Path:
    chosen = os.environ.get(variable, "")
    if os.path.isabs(chosen):  # the XDG specification says to ignore relative paths
        return Path(chosen) / "lepton"
    local = os.environ.get(windows_variable)
    if sys.platform == "win32" and local:
        return Path(local) / windows_name
    return home() / default / "lepton"


def private_folder(path: Path) -> Path:
    """Creates a private folder (0700); returns its path with links resolved.

    Raises UsageError, also if others could put something there.
    """
    try:
        return own_files.private_folder(path)
    except OSError as error:
        raise _unwritable(path, error) from error


def private_file(path: Path) -> Path:
    """Creates a private file (0600) if it is missing; returns its path with links resolved.

    For libraries that open files by name (the input history). Raises UsageError.
    """
    private_folder(path.parent)
    try:
        file = own_file(path)
        os.close(open_own(file, os.O_RDWR | os.O_CREAT))
    except OSError as error:
        raise _unwritable(path, error) from error
    return file


def open_chat(path: Path, flags: int = os.O_RDONLY) -> int:
    """Opens a chat's file; a new one is private (0600).

    In Lepton's own folders nobody else may be able to write it; a path that the user named may be
    anywhere. Raises UsageError, OSError.
    """
    if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(state_folder())):
        return open_own(own_file(path), flags)
    return open_file(named_file(path), flags)


def read_chat_file(path: Path) -> bytes:
    """The bytes of a chat's file. Raises as `open_chat`, and UsageError above MAX_CHAT."""
    with open(open_chat(path), "rb") as file:
        data = file.read(MAX_CHAT + 1)
    if len(data) > MAX_CHAT:
        raise UsageError(f"{path} is not a chat: it has over {MAX_CHAT >> 20} MiB")
    return data


def write_private(path: Path, text: str) -> None:
    """Atomically writes a file; a new one is private (0600).

    Raises UsageError, also for a missing folder, which may be a typing error.
    """
    try:
        with replace_file(path, 0o600) as file:
            # lone surrogates come from a terminal that does not send UTF-8
            file.write(text.encode(errors="backslashreplace"))
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> UsageError:
    own = path.is_relative_to(state_folder())
    hint = f"set XDG_STATE_HOME to {WRITABLE}" if own else f"name {WRITABLE}"
    return UsageError(f"cannot write {path}: {error.strerror}", hint)
