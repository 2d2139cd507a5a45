"""Where Lepton keeps its files, and that they are their owner's alone."""

import os
import stat
import sys
from pathlib import Path

import pytest
from platforms import posix

from lepton_cli.engine.library import paths
from quant.errors import UsageError


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch) -> None:
    """Nothing of the machine's own environment counts."""
    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def test_xdg_variables_move_the_folders(tmp_path, monkeypatch):
    for kind in ("CONFIG", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind))
    assert paths.config_folder() == tmp_path / "CONFIG/lepton"
    assert paths.cache_folder() == tmp_path / "CACHE/lepton"
    assert paths.state_folder() == tmp_path / "STATE/lepton"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has AppData")
def test_folders_without_variables_lie_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("XDG_STATE_HOME", "relative/paths/do/not/count")
    home = tmp_path / "home"
    assert paths.config_folder() == home / ".config/lepton"
    assert paths.cache_folder() == home / ".cache/lepton"
    assert paths.state_folder() == home / ".local/state/lepton"


def test_windows_keeps_them_in_appdata(tmp_path, monkeypatch):
    monkeypatch.setattr(paths.sys, "platform", "win32")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("APPDATA", str(tmp_path / "Roaming"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    assert paths.config_folder() == tmp_path / "Roaming/lepton"
    assert paths.cache_folder() == tmp_path / "Local/lepton/cache"
    assert paths.state_folder() == tmp_path / "Local/lepton/state"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@posix
def test_private_files_are_their_owners_alone_whatever_the_umask(tmp_path):
    old = os.umask(0)
    try:
        history = paths.private_file(tmp_path / "state/lepton/history")
        paths.write_private(tmp_path / "one.json", "{}")
    finally:
        os.umask(old)
    assert (mode(history), mode(history.parent)) == (0o600, 0o700)
    assert mode(tmp_path / "one.json") == 0o600


@posix
def test_a_history_that_all_could_read_is_closed(tmp_path):
    history = tmp_path / "history"
    history.write_text("old words")
    history.chmod(0o644)
    assert mode(paths.private_file(history)) == 0o600
    assert history.read_text() == "old words"


@posix
@pytest.mark.parametrize("planted", ["a pipe", "a folder", "a link to a device"])
def test_a_history_that_is_not_a_file_is_refused_and_not_waited_for(tmp_path, planted):
    history = tmp_path / "history"
    match planted:
        case "a pipe":
            os.mkfifo(history)
        case "a folder":
            history.mkdir()
        case _:
            history.symlink_to("/dev/null")
    with pytest.raises(UsageError):
        paths.private_file(history)


@posix
def test_a_folder_of_the_persons_own_keeps_its_mode(tmp_path):
    tmp_path.chmod(0o755)
    paths.write_private(tmp_path / "chat.md", "hello\n")
    assert (mode(tmp_path), mode(tmp_path / "chat.md")) == (0o755, 0o600)


def test_writing_replaces_the_whole_file_and_leaves_no_draft(tmp_path):
    paths.write_private(tmp_path / "chat.md", "long " * 100)
    paths.write_private(tmp_path / "chat.md", "ünï\n")
    assert (tmp_path / "chat.md").read_bytes() == "ünï\n".encode()
    assert os.listdir(tmp_path) == ["chat.md"]


def test_half_a_surrogate_pair_does_not_lose_a_chat(tmp_path):
    paths.write_private(tmp_path / "chat.md", "kept \ud800 too")
    assert (tmp_path / "chat.md").read_text() == "kept \\ud800 too"


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for act in (
        lambda path: paths.write_private(path, ""),
        paths.private_file,
        paths.private_folder,
    ):
        with pytest.raises(UsageError, match=r"cannot write .*file"):
            act(tmp_path / "file/below")
