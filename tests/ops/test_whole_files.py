"""Files that appear whole: what was there stays until the new one is complete."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from platforms import posix

from ops.files.own_files import ForeignFileError
from ops.files.whole_files import replace_file, write_cached
from quant.errors import UsageError

ROOT = Path(__file__).parents[2]
KILLED = """
import os, signal, sys
from pathlib import Path
from ops.files.whole_files import replace_file
with replace_file(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def written(path: Path, data: bytes = b"new") -> None:
    with replace_file(path) as file:
        file.write(data)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_there_when_it_is_whole(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with replace_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_what_fails_leaves_the_old_file_and_no_draft(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(KeyError), replace_file(path) as file:
        file.write(b"new")
        raise KeyError
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@posix
def test_a_draft_has_the_final_mode_before_anything_is_in_it(tmp_path):
    old, new, private = (tmp_path / name for name in ("old", "new", "private"))
    old.touch()
    old.chmod(0o640)
    before = os.umask(0o027)
    try:
        for path, wanted, bits in (
            (old, 0o640, 0o666),
            (new, 0o640, 0o666),
            (private, 0o600, 0o600),
        ):
            with replace_file(path, bits):
                [draft] = tmp_path.glob(".*.draft")
                assert (mode(draft), draft.stat().st_size) == (wanted, 0)
            assert mode(path) == wanted
    finally:
        os.umask(before)


@posix
@pytest.mark.parametrize("umask", [0, 0o777])
def test_a_file_of_the_cache_is_its_owners_alone(tmp_path, umask):
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o666)
    before = os.umask(umask)
    try:
        write_cached(path, [b"a", memoryview(b"b")])
    finally:
        os.umask(before)
    assert (path.read_bytes(), mode(path)) == (b"ab", 0o600)


def test_half_a_file_of_the_cache_does_not_stay(tmp_path):
    def parts():
        yield b"half"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError):
        write_cached(tmp_path / "file", parts())
    assert not list(tmp_path.iterdir())


@posix
def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "folder").mkdir()
    link, target = tmp_path / "link", tmp_path / "folder/target"
    link.symlink_to("folder/target")
    written(link)
    assert link.is_symlink() and target.read_bytes() == b"new"
    assert os.listdir(tmp_path / "folder") == ["target"]


@posix
def test_a_link_of_another_user_is_not_followed(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can give a link to another user")
    link, target = tmp_path / "link", tmp_path / "target"
    target.write_bytes(b"old")
    link.symlink_to("target")
    os.chown(link, 12345, 12345, follow_symlinks=False)
    with pytest.raises(ForeignFileError):
        written(link)
    assert target.read_bytes() == b"old"


@posix
@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_only_files_are_replaced(tmp_path, kind):
    path = tmp_path / kind
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/null")
    before = path.stat()
    with pytest.raises(UsageError, match=f"is a {kind}, not a file"):
        written(path)
    assert path.stat().st_ino == before.st_ino
    assert os.listdir(tmp_path) == [kind]


@posix
def test_the_draft_of_a_killed_process_goes_with_the_next_one(tmp_path):
    path = tmp_path / "file"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", KILLED, str(path)], env=environment)
    [left] = tmp_path.iterdir()
    other = [
        tmp_path / name
        for name in (".file.draft", ".file.mine.draft", left.name.replace("file", "b"))
    ]
    for foreign in other:
        foreign.touch()
    with replace_file(path) as file:
        written(path, b"meanwhile")  # another process writes the same: its draft is nobody's prey
        file.write(b"last")
    assert path.read_bytes() == b"last"
    assert sorted(tmp_path.iterdir()) == sorted([path, *other])


def test_a_name_may_be_as_long_as_the_system_takes(tmp_path):
    written(tmp_path / ("n" * 255))
    written(tmp_path / ("ü" * 127))
    assert len(os.listdir(tmp_path)) == 2
