"""Beginnings of prompts on disk: what is found again, what is not taken, what goes first."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from lepton_cli.engine.prefixes import store as prefix_store
from lepton_cli.engine.prefixes.store import PAGE, PrefixStore, clear, holdings, read_head
from ops.files.own_files import ForeignFileError
from ops.interface import BLOCK
from ops.state.sequence import SavedState

SIZE = 2 * PAGE  # bytes of a block
KEY = bytes(range(16))
PLENTY = 1 << 30


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "prefixes"


def store(root: Path, key: bytes = KEY, limit: int = PLENTY, model: str = "a model") -> PrefixStore:
    return PrefixStore(root, key, model, (SIZE, 0), limit)


def tokens(count: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(0, 100_000, count).tolist()


def blocks(ids: list[int]) -> list[np.ndarray]:
    """Made of the tokens before and in them, as K and V are."""
    ends = range(BLOCK, len(ids) + BLOCK, BLOCK)
    return [np.resize(np.array(ids[:end], "<i4").view(np.uint8), SIZE) for end in ends]


def kept(where: PrefixStore, ids: list[int], least: int = 1) -> bool:
    return where.add(ids, SavedState(len(ids), blocks(ids), None), least)


def files(root: Path) -> list[Path]:
    return sorted(root.glob("*/*"))


# --- finding


@pytest.mark.parametrize("count", [1, 255, 256, 257, 600, 1024])
def test_what_is_kept_comes_back(root, count):
    ids = tokens(count)
    assert kept(store(root), ids)
    found = store(root).find(ids)
    assert found.count == count
    loaded = store(root).load(found).blocks
    assert all(np.array_equal(a, b) for a, b in zip(loaded, blocks(ids), strict=True))


@pytest.mark.parametrize("common", [0, 1, 100, 255, 256, 257, 511, 512, 700, 900])
def test_the_longest_common_beginning_is_found_to_the_token(root, common):
    ids = tokens(900)
    kept(store(root), ids)
    other = [*ids[:common], *tokens(300, seed=1)]
    found = store(root).find(other)
    assert found.count == common
    assert len(found.paths) == -(-common // BLOCK)


def test_of_several_entries_the_longest_is_taken(root):
    ids = tokens(700)
    for common in (300, 520, 400):
        kept(store(root), [*ids[:common], *tokens(100, seed=common)])
    assert store(root).find(ids).count == 520


def test_nothing_is_found_where_nothing_is_kept(root):
    assert store(root).find(tokens(300)).count == 0
    assert store(root).load(store(root).find(tokens(300))).blocks == []
    assert not root.exists()


def test_prompts_that_begin_alike_share_their_files(root):
    ids = tokens(600)
    kept(store(root), ids)
    kept(store(root), [*ids[:520], *tokens(200, seed=1)])
    assert len(files(root)) == 4  # two of both, and the third of each


def test_a_longer_block_replaces_its_own_beginning(root):
    ids = tokens(300)
    for count in (260, 280, 300):
        assert kept(store(root), ids[:count])
    assert len(files(root)) == 2
    assert store(root).find(ids).count == 300
    assert not kept(store(root), ids[:280])
    assert len(files(root)) == 2


def test_little_that_is_new_is_not_worth_a_file(root):
    ids = tokens(1000)
    assert not kept(store(root), ids[:255], least=256)
    assert kept(store(root), ids, least=256)
    assert not kept(store(root), [*ids[:990], *tokens(255, seed=1)], least=256 + 1)
    assert kept(store(root), [*ids[:990], *tokens(256, seed=1)], least=256)


# --- whose they are


def test_another_key_finds_nothing(root):
    kept(store(root), tokens(300))
    assert store(root, bytes(16)).find(tokens(300)).count == 0


def test_an_entry_that_was_moved_to_another_key_is_ignored(root):
    kept(store(root), tokens(300))
    (root / KEY.hex()).rename(root / bytes(16).hex())
    assert store(root, bytes(16)).find(tokens(300)).count == 0


def test_an_entry_under_another_name_is_ignored(root):
    kept(store(root), tokens(256))
    kept(store(root), tokens(256, seed=1))
    one, two = files(root)
    two.write_bytes(one.read_bytes())
    counts = [store(root).find(tokens(256, seed)).count for seed in (0, 1)]
    assert sorted(counts) == [0, 256]


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has file modes")
def test_entries_are_their_owners_alone(root):
    root.mkdir(mode=0o755)
    kept(store(root), tokens(300))
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (root, *root.iterdir(), *files(root))]
    assert modes == [0o700, 0o700, 0o600, 0o600]


posix = pytest.mark.skipif(os.name != "posix", reason="only POSIX has file modes")


@posix
@pytest.mark.parametrize("place", ["root", "folder"])
def test_a_folder_that_others_can_write_is_neither_read_nor_written(root, place):
    kept(store(root), tokens(300))
    opened = root if place == "root" else root / KEY.hex()
    opened.chmod(0o777)
    where = store(root)
    assert where.find(tokens(300)).count == 0
    assert not kept(where, tokens(700))
    assert len(files(root)) == 2
    for told in (holdings, clear):
        if place == "root":
            with pytest.raises(ForeignFileError, match="others can write to"):
                told(root)
        else:
            assert not told(root)
    opened.chmod(0o700)
    assert where.find(tokens(300)).count == 300


@posix
@pytest.mark.parametrize("how", ["writable", "another user's", "a pipe", "endless"])
def test_an_entry_of_other_hands_is_ignored_and_replaced(root, how):
    ids = tokens(256)
    kept(store(root), ids)
    (path,) = files(root)
    if how == "writable":
        path.chmod(0o602)
    elif how == "a pipe":
        path.unlink()
        os.mkfifo(path, 0o600)
    elif how == "endless":
        path.unlink()
        path.symlink_to("/dev/zero")
    elif os.geteuid() == 0:
        os.chown(path, 12345, 12345)
    else:
        pytest.skip("only root can give a file to another user")
    where = store(root)
    assert where.find(ids).count == 0
    assert kept(where, ids)
    assert where.find(ids).count == 256
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600


@posix
def test_a_link_among_the_folders_leads_to_nothing(root, tmp_path):
    kept(store(root), tokens(300))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/x.kv").write_text("precious")
    (root / ("0" * 32)).symlink_to(tmp_path / "mine")
    clear(root)
    assert (tmp_path / "mine/x.kv").read_text() == "precious"


# --- damage


@pytest.mark.parametrize("at", [0, 9, 13, 50, 70, 1200, PAGE - 1, PAGE, PAGE + SIZE - 1])
def test_a_damaged_entry_is_ignored_and_replaced(root, at):
    ids = tokens(256)
    kept(store(root), ids)
    (path,) = files(root)
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)
    where = store(root)
    assert where.load(where.find(ids)).blocks == []
    assert kept(where, ids)
    assert len(where.load(where.find(ids)).blocks) == 1


@pytest.mark.parametrize("size", [0, 3, PAGE - 1, PAGE, PAGE + SIZE - 1, PAGE + SIZE + 1])
def test_an_entry_of_another_length_is_ignored(root, size):
    ids = tokens(256)
    kept(store(root), ids)
    (path,) = files(root)
    path.write_bytes(path.read_bytes().ljust(size, b"\0")[:size])
    assert store(root).find(ids).count == 0


def test_what_is_before_a_damaged_block_is_still_used(root):
    ids = tokens(1000)
    kept(store(root), ids)
    where = store(root)
    found = where.find(ids)
    with found.paths[2].open("r+b") as file:
        file.seek(PAGE + 5)
        file.write(b"damage")
    assert len(where.load(found).blocks) == 2
    assert where.find(ids).count == 512


def test_an_entry_that_goes_between_finding_and_loading_is_no_error(root):
    ids = tokens(600)
    kept(store(root), ids)
    found = store(root).find(ids)
    found.paths[1].unlink()
    assert len(store(root).load(found).blocks) == 1


def test_foreign_files_are_neither_read_nor_removed(root):
    kept(store(root), tokens(300))
    foreign = [root / "notes.txt", root / KEY.hex() / "notes.txt", root / KEY.hex() / "x.kv"]
    for path in foreign:
        path.write_text("precious")
    assert store(root).find(tokens(300)).count == 300
    assert [holding.tokens for holding in holdings(root)] == [300]
    clear(root)
    assert [path.exists() for path in foreign] == [True, True, False]


# --- size


def test_what_was_not_used_for_longest_goes_first(root):
    limit = 4 * (PAGE + SIZE)
    first, second, third = (tokens(512, seed) for seed in range(3))
    for seed, ids in enumerate((first, second)):
        kept(store(root, limit=limit), ids)
        for path in store(root).find(ids).paths:
            os.utime(path, (1e9 + seed, 1e9 + seed))
    where = store(root, limit=limit)
    where.load(where.find(first))  # used again
    kept(where, third)
    assert [where.find(ids).count for ids in (first, second, third)] == [512, 0, 512]


def test_the_end_of_a_prompt_goes_before_its_beginning(root):
    ids, limit = tokens(1024), 4 * (PAGE + SIZE)
    kept(store(root, limit=limit), ids)
    kept(store(root, limit=limit), tokens(256, seed=1))
    assert store(root).find(ids).count == 768


def test_the_limit_is_for_all_models_together(root):
    limit = 3 * (PAGE + SIZE)
    for number in range(5):
        kept(store(root, bytes([number] * 16), limit), tokens(256))
    assert len(files(root)) == 3
    assert len(list(root.iterdir())) == 3  # no empty folder stays


def test_of_a_prompt_beyond_the_limit_the_beginning_is_kept(root):
    ids = tokens(1024)
    kept(store(root, limit=2 * (PAGE + SIZE)), ids)
    assert store(root).find(ids).count == 512


def test_a_limit_of_nothing_keeps_nothing(root):
    kept(store(root, limit=0), tokens(300))
    assert not files(root)


def test_a_full_disk_is_not_filled_to_the_brim(root, monkeypatch):
    def usage(_: Path) -> object:
        return type("Usage", (), {"free": 5 * (PAGE + SIZE)})

    monkeypatch.setattr(prefix_store.shutil, "disk_usage", usage)
    kept(store(root), tokens(1024))
    assert store(root).find(tokens(1024)).count == 512


def test_a_disk_that_is_full_is_no_error(root, monkeypatch):
    def full(path, parts):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prefix_store, "write_cached", full)
    full_store = store(root)
    assert not kept(full_store, tokens(300))
    assert not files(root)
    assert f"cannot be stored in {root}: No space left on device" in full_store.failure
    assert "XDG_CACHE_HOME" in full_store.failure
    monkeypatch.undo()
    assert kept(full_store, tokens(300)) and full_store.failure is None


def test_a_disk_without_room_for_a_block_is_full(root, monkeypatch):
    monkeypatch.setattr(prefix_store.shutil, "disk_usage", lambda path: Mock(free=PAGE))
    full_store = store(root)
    assert not kept(full_store, tokens(300))
    assert "No space left on device" in full_store.failure


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "file").touch()
    assert not kept(store(tmp_path / "file"), tokens(300))
    assert store(tmp_path / "file").find(tokens(300)).count == 0
    for nowhere in (tmp_path / "file", tmp_path / "file/below"):
        assert (holdings(nowhere), clear(nowhere)) == ([], 0)


# --- what is told


def test_holdings_tell_each_models_tokens_and_bytes(root):
    kept(store(root, model="Größe 7B"), tokens(300))
    kept(store(root, bytes(16), model="x" * 1000), tokens(10))
    for path in (root / KEY.hex()).iterdir():
        os.utime(path, (2e9, 2e9))
    one, two = holdings(root)
    assert (one.model, one.tokens, one.bytes, one.used) == (
        "Größe 7B",
        300,
        2 * (PAGE + SIZE),
        2e9,
    )
    assert two.model == "x" * 255


def test_clear_removes_everything_and_says_how_much(root):
    kept(store(root), tokens(300))
    (root / KEY.hex() / "left-by-a-crash.draft").write_bytes(b"12345")
    assert clear(root) == 2 * (PAGE + SIZE) + 5
    assert holdings(root) == []
    assert not list(root.iterdir())
    assert clear(root) == 0


def test_a_page_is_a_page(root):
    kept(store(root), tokens(256))
    (path,) = files(root)
    assert path.stat().st_size == PAGE + SIZE
    head = read_head(path)
    assert head is not None and head.ids.tolist() == tokens(256)


# --- several processes

WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_prefix_store import *
where = store(Path(sys.argv[1]), limit=6 * (PAGE + SIZE))
for round in range(30):
    for seed in (0, 1, 2):
        ids = [*tokens(300), *tokens(300, seed)]
        kept(where, ids)
        found = where.find(ids)
        want = blocks(ids)
        for i, block in enumerate(where.load(found).blocks):
            full = (i + 1) * BLOCK <= found.count
            assert not full or np.array_equal(block, want[i]), "foreign bytes"
"""


def test_several_processes_share_a_store(root):
    command = [sys.executable, "-c", WRITER, str(root), str(Path(__file__).parent)]
    writers = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors.decode()
    assert all(path.suffix == prefix_store.SUFFIX for path in files(root))
    assert all(read_head(path) for path in files(root))
    assert len(files(root)) <= 6
