"""Whose a file is: what others could have written is refused, by name and with the cure."""

import errno
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.files import own_files
from ops.files.own_files import (
    ForeignFileError,
    named_file,
    open_file,
    open_own,
    own_file,
    own_folder,
    private_folder,
    read_own,
)
from quant.errors import UsageError

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has neither modes nor uids"
)
OTHER = 12345  # a user who is not there
as_root = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root can give a file to another user"
)


@pytest.fixture(params=[0, 0o022, 0o077, 0o777])
def umask(request) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_what_is_made_is_its_owners_alone_whatever_the_umask(tmp_path, umask):
    folder = private_folder(tmp_path / "a/b/c")
    os.close(open_own(folder / "file", os.O_WRONLY | os.O_CREAT))
    assert [mode(path) for path in (folder, *folder.parents[:2])] == [0o700] * 3
    assert mode(folder / "file") == 0o600


def test_what_all_could_read_is_closed(tmp_path):
    (tmp_path / "folder").mkdir(0o755)
    (tmp_path / "folder/file").touch(0o644)
    folder = private_folder(tmp_path / "folder")
    os.close(open_own(folder / "file", os.O_RDWR | os.O_CREAT))
    assert (mode(folder), mode(folder / "file")) == (0o700, 0o600)


@pytest.mark.parametrize("bits", [0o770, 0o777, 0o702, 0o1777])
def test_a_folder_that_others_can_write_is_refused_with_a_cure_that_works(tmp_path, bits):
    folder = tmp_path / "with a space"
    folder.mkdir()
    folder.chmod(bits)
    for act in (own_folder, private_folder):
        with pytest.raises(ForeignFileError, match="others can write to") as refused:
            act(folder)
        assert str(folder) in refused.value.message
    assert os.system(str(refused.value.hint)) == 0
    assert private_folder(folder) == folder


@pytest.mark.parametrize("bits", [0o777, 0o702])
def test_a_folder_above_that_others_can_write_is_refused(tmp_path, bits):
    above = tmp_path / "above"
    private_folder(above / "lepton/kernels")
    above.chmod(bits)
    with pytest.raises(ForeignFileError, match=r"others can write to \S+/above "):
        own_folder(above / "lepton/kernels")
    above.chmod(bits | stat.S_ISVTX)  # as /tmp: others cannot replace what is ours there
    assert own_folder(above / "lepton/kernels") == above / "lepton/kernels"


def test_a_file_in_a_folders_place_is_no_folder_whoever_may_write_it(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "file").chmod(0o666)
    for place in (tmp_path / "file", Path(os.devnull)):
        with pytest.raises(NotADirectoryError):
            private_folder(place / "lepton")


def test_a_group_of_one_is_nobody_else(tmp_path, monkeypatch):
    user = type("User", (), {"pw_gid": os.getegid(), "pw_name": "ann"})
    group = type("Group", (), {"gr_gid": os.getegid(), "gr_name": "ann", "gr_mem": []})
    monkeypatch.setattr(own_files.pwd, "getpwuid", lambda _: user)
    monkeypatch.setattr(own_files.grp, "getgrgid", lambda _: group)
    monkeypatch.setattr(own_files.os, "geteuid", lambda: tmp_path.stat().st_uid or 1000)
    folder = tmp_path / "above/own"
    folder.mkdir(parents=True)
    if os.getuid() == 0:
        for path in (folder, folder.parent):
            os.chown(path, os.geteuid(), -1)
    folder.parent.chmod(0o775)
    assert own_folder(folder) == folder
    group.gr_mem = ["ann", "bob"]
    with pytest.raises(ForeignFileError, match="others can write"):
        own_folder(folder)


@as_root
def test_a_folder_of_another_user_is_refused_wherever_it_stands_on_the_way(tmp_path):
    folder = private_folder(tmp_path / "a/b/c")
    for path in (folder, folder.parent, folder.parents[1]):
        os.chown(path, OTHER, OTHER)
        for act in (own_folder, private_folder, lambda folder: own_file(folder / "file")):
            with pytest.raises(ForeignFileError, match=f"{path} belongs to user number {OTHER}"):
                act(folder)
        os.chown(path, 0, 0)
    assert own_folder(folder) == folder


@as_root
def test_nothing_is_made_in_a_folder_of_another_user(tmp_path):
    os.chown(tmp_path, OTHER, OTHER)  # as with sudo, where HOME stays another's
    with pytest.raises(ForeignFileError):
        private_folder(tmp_path / "a/b")
    assert not list(tmp_path.iterdir())


@as_root
def test_a_link_of_another_user_is_refused_wherever_it_stands_on_the_way(tmp_path):
    folder = private_folder(tmp_path / "real/a")
    (folder / "file").touch(0o600)
    (tmp_path / "link").symlink_to("real")
    (folder / "link").symlink_to("file")
    for link in (tmp_path / "link", folder / "link"):
        os.chown(link, OTHER, OTHER, follow_symlinks=False)
    for act, path in (
        (own_folder, tmp_path / "link/a"),
        (own_file, folder / "link"),
        (named_file, folder / "link"),
        (named_file, tmp_path / "link/a/file"),
        (named_file, tmp_path / "link/a/new"),
    ):
        with pytest.raises(ForeignFileError, match=f"link is a link of user number {OTHER}"):
            act(path)


def test_own_links_are_followed_as_the_system_follows_them(tmp_path):
    folder = private_folder(tmp_path / "real/a")
    (folder / "file").touch(0o600)
    (tmp_path / "far").mkdir()
    (tmp_path / "far/link").symlink_to("../real/a")
    (tmp_path / "absolute").symlink_to(tmp_path / "far/link")
    (folder / "later").symlink_to("not-there")
    assert own_folder(tmp_path / "absolute") == folder
    assert named_file(tmp_path / "absolute/../a/file") == folder / "file"
    assert named_file(folder / "later") == folder / "not-there"
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError) as refused:
        named_file(tmp_path / "loop")
    assert refused.value.errno == errno.ELOOP


@as_root
def test_a_file_of_another_user_is_refused(tmp_path):
    path = tmp_path / "file"
    path.touch(0o600)
    os.chown(path, OTHER, OTHER)
    with pytest.raises(ForeignFileError, match="belongs to") as refused:
        read_own(path, 9)
    assert refused.value.hint == f"rm {path}"
    assert named_file(path) == path  # whoever names it has chosen it
    tmp_path.chmod(0o1777)  # but in a folder like /tmp it may have been put there
    with pytest.raises(ForeignFileError, match="belongs to"):
        named_file(path)


@pytest.mark.parametrize("bits", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_refused(tmp_path, bits):
    path = tmp_path / "file"
    path.touch()
    path.chmod(bits)
    with pytest.raises(ForeignFileError, match="others can write to"):
        read_own(path, 9)


def test_no_more_is_read_than_asked_for(tmp_path):
    path = tmp_path / "file"
    path.touch(0o600)
    os.truncate(path, 1 << 40)
    assert len(read_own(path, 100)) == 100


def test_only_files_are_opened(tmp_path):
    private_folder(tmp_path / "folder")
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path, what in ((tmp_path / "folder", "folder"), (tmp_path / "pipe", "pipe")):
        with pytest.raises(UsageError, match=f"is a {what}, not a file"):
            read_own(path, 9)
    (tmp_path / "endless").symlink_to("/dev/zero")
    with pytest.raises(OSError):
        read_own(tmp_path / "endless", 9)
    with pytest.raises(UsageError, match="is a device"):
        open_file(Path("/dev/zero"))
