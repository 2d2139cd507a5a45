"""Lepton's own folders, and files that only their owner may read.

XDG folders on Linux and macOS, AppData on Windows; the XDG variables count on every system.
"""

import os
import sys
import tempfile
from pathlib import Path

from quant.errors import UsageError


def home() -> Path:
    """The person's home folder. Raises UsageError where the system knows none."""
    try:
        return Path.home()
    except RuntimeError as error:
        raise UsageError("there is no home folder", "set the variable HOME") from error


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
    """Makes the folder and gives it to its owner alone (0700). Raises UsageError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


def private_file(path: Path) -> Path:
    """Makes the file, if it is not there, and gives it to its owner alone (0600).

    For those who open it by its name afterwards (the input history). Raises UsageError.
    """
    private_folder(path.parent)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


def write_private(path: Path, text: str) -> None:
    """Writes the whole file or leaves the old one, readable by its owner alone (0600).

    Raises UsageError, also where there is no such folder: a slip would become one.
    """
    try:
        _replace(path, text)
    except OSError as error:
        raise _unwritable(path, error) from error


def _replace(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # made 0600
    draft = Path(name)
    try:
        # a lone surrogate, from a terminal that sends no UTF-8, must not lose the rest
        with open(handle, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"cannot write {path}: {error.strerror}", "choose another folder")
