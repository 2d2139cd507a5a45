"""Packed weights on disk: later starts map them, and nothing but the same bytes is mapped."""

import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from make_gguf import write_model
from passes import resources

from lepton_cli.engine.loading import plan as loading
from ops.backend import CpuBackend
from ops.cpu.runner import CpuRunner
from ops.cpu.weights.files import PAGE, WeightFiles, clear_kept, kept_files
from ops.files import whole_files
from ops.interface import Step
from ops.memory_plan import Limits
from ops.state.sequence import SequenceState
from quant.gguf import GGUF

IDS = np.array([1, 5, 9], np.int32)


@pytest.fixture(autouse=True)
def settled(monkeypatch):
    """Files of the tests are younger than what is kept in earnest."""
    monkeypatch.setattr("ops.cpu.weights.packing.SETTLED", 0)


def files_in(folder: Path, limit: int = 1 << 30) -> WeightFiles:
    return WeightFiles(folder, limit, least=1)


def opened(path: Path, files: WeightFiles | None) -> CpuRunner:
    backend = CpuBackend(("f32", "f32"), replace(resources(), weights=files))
    return backend.open(loading.build(GGUF.open(path), 64), Limits(8, 8))


def logits(path: Path, files: WeightFiles | None) -> bytes:
    """Of a pass; what is to be kept is on disk when it returns."""
    runner = opened(path, files)
    state = SequenceState(runner.pool)
    positions = np.arange(3, dtype=np.int32)
    step = Step(IDS, positions, positions)
    result = runner.run(step, [state]).tobytes()
    runner.close()
    if files:
        assert files.finish()
    return result


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def packed_from_disk(path: Path, files: WeightFiles) -> bool:
    """Whether an opened model's weights are those of a kept file."""
    runner = opened(path, files)
    runner.room()  # waits for packing
    [area] = runner._lowering.packing._of_files
    runner.close()
    return not area.memory.flags.writeable


@pytest.mark.parametrize("kind", ["Q4_0", "Q8_0", "Q6_K", "BF16", "F32"])
def test_a_second_start_maps_what_the_first_packed(tmp_path, kind):
    path, folder = write_model(tmp_path / "m.gguf", weights=kind), tmp_path / "kept"
    plain = logits(path, None)
    assert logits(path, files_in(folder)) == plain
    [name] = names(folder)
    assert packed_from_disk(path, files_in(folder))
    assert logits(path, files_in(folder)) == plain
    assert names(folder) == {name}


@pytest.mark.parametrize("preset", ["llama", "qwen3moe", "gemma3"])
def test_tied_and_stacked_weights_are_kept_too(tmp_path, preset):
    path, folder = write_model(tmp_path / "m.gguf", preset), tmp_path / "kept"
    plain = logits(path, None)
    assert [logits(path, files_in(folder)) for _ in range(2)] == [plain, plain]
    assert packed_from_disk(path, files_in(folder))


def test_another_version_of_the_file_is_packed_anew(tmp_path):
    path, folder = write_model(tmp_path / "m.gguf"), tmp_path / "kept"
    first = logits(path, files_in(folder))
    write_model(path, seed=1)
    second = logits(path, files_in(folder))
    assert second != first and second == logits(path, None)
    assert len(names(folder)) == 2


def test_a_file_that_only_its_change_time_gives_away_is_packed_anew(tmp_path):
    path, folder = write_model(tmp_path / "m.gguf"), tmp_path / "kept"
    logits(path, files_in(folder))
    times, raw = path.stat(), bytearray(path.read_bytes())
    raw[-5] ^= 1
    path.write_bytes(raw)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not packed_from_disk(path, files_in(folder))


def test_a_file_that_was_just_written_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("ops.cpu.weights.packing.SETTLED", 3 * 10**9)
    logits(write_model(tmp_path / "m.gguf"), files_in(tmp_path / "kept"))
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("damage", ["header", "cut", "longer", "empty"])
def test_a_damaged_file_is_not_mapped_and_replaced(tmp_path, damage):
    path, folder = write_model(tmp_path / "m.gguf"), tmp_path / "kept"
    plain = logits(path, files_in(folder))
    [name] = names(folder)
    raw = (folder / name).read_bytes()
    wrong = {
        "header": raw[:20] + b"x" + raw[21:],
        "cut": raw[:-1],
        "longer": raw + b"x",
        "empty": b"",
    }[damage]
    (folder / name).write_bytes(wrong)
    assert not packed_from_disk(path, files_in(folder))
    assert logits(path, files_in(folder)) == plain
    assert (folder / name).read_bytes() == raw


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_others_could_have_written_is_not_mapped(tmp_path, what):
    path, folder = write_model(tmp_path / "m.gguf"), tmp_path / "kept"
    logits(path, files_in(folder))
    [name] = names(folder)
    place = folder if what == "folder" else folder / name
    place.chmod(0o777)
    assert not packed_from_disk(path, files_in(folder))
    if what == "folder":  # a user has to mend it
        folder.chmod(0o700)
    logits(path, files_in(folder))
    assert packed_from_disk(path, files_in(folder))
    assert (folder / name).stat().st_mode & 0o777 == 0o600


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path):
    path, folder = write_model(tmp_path / "m.gguf"), tmp_path / "kept"
    logits(path, files_in(folder))
    [name] = names(folder)
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    before = (tmp_path / "elsewhere").stat()
    assert not packed_from_disk(path, files_in(folder))
    logits(path, files_in(folder))
    assert packed_from_disk(path, files_in(folder)) and not (folder / name).is_symlink()
    assert (tmp_path / "elsewhere").stat() == before


def test_the_least_recently_used_weights_make_room(tmp_path):
    folder = tmp_path / "kept"
    paths = [write_model(tmp_path / f"{n}.gguf", seed=n) for n in range(3)]
    logits(paths[0], files_in(folder))
    [first] = folder.iterdir()
    limit = 2 * first.stat().st_size
    os.utime(first, (1, 1))
    logits(paths[1], files_in(folder, limit))
    os.utime(next(path for path in folder.iterdir() if path != first), (2, 2))
    assert packed_from_disk(paths[0], files_in(folder, limit))  # used now
    logits(paths[2], files_in(folder, limit))
    assert first in folder.iterdir() and len(names(folder)) == 2
    assert not packed_from_disk(paths[1], files_in(folder, limit))


@pytest.mark.parametrize("limit", [1000, 1 << 30])
def test_too_little_room_keeps_nothing(tmp_path, monkeypatch, limit):
    monkeypatch.setattr("ops.cpu.weights.files._free", lambda folder: 1000)
    logits(write_model(tmp_path / "m.gguf"), files_in(tmp_path / "kept", limit))
    assert not any(tmp_path.glob("kept/*"))


def test_few_bytes_are_not_worth_a_file(tmp_path):
    logits(write_model(tmp_path / "m.gguf"), WeightFiles(tmp_path / "kept", 1 << 30))
    assert not (tmp_path / "kept").exists()


def test_a_folder_that_cannot_be_written_is_told_and_harms_nothing(tmp_path):
    path = write_model(tmp_path / "m.gguf")
    (tmp_path / "kept").write_text("a file")
    files = files_in(tmp_path / "kept")
    assert logits(path, files) == logits(path, None)
    assert "packed weights cannot be kept" in files.failure


def test_giving_up_leaves_no_file(tmp_path, monkeypatch):
    files, go = files_in(tmp_path / "kept"), threading.Event()
    monkeypatch.setattr("ops.cpu.weights.files._free", lambda folder: go.wait() and 1 << 30)
    files.keep("key", "m", np.zeros(100, np.uint8))
    assert not files.finish(0.01)
    files._stop.set()
    go.set()
    files.stop()
    assert not any(tmp_path.glob("kept/*")) and files.failure is None


def test_one_process_writes_a_file_and_drafts_of_killed_ones_go(tmp_path):
    path, folder = write_model(tmp_path / "m.gguf"), tmp_path / "kept"
    logits(path, files_in(folder))
    [name] = names(folder)
    (folder / name).unlink()
    draft, handle = whole_files._draft(folder / name, 0o600)
    logits(path, files_in(folder))
    assert names(folder) == {draft.name}
    assert clear_kept(folder) == 0 and names(folder) == {draft.name}
    os.close(handle)  # as when its process is killed
    logits(path, files_in(folder))
    assert names(folder) == {name}


def test_files_that_are_written_at_once_keep_within_the_limit(tmp_path):
    files = WeightFiles(tmp_path / "kept", 30_000, least=1)
    for n in range(4):
        files.keep(f"{n}", "m", np.full(10_000, n, np.uint8))
    assert files.finish() and files.failure is None
    assert sum(path.stat().st_size for path in (tmp_path / "kept").iterdir()) <= 30_000
    assert len(names(tmp_path / "kept")) == 2


def test_the_listing_and_its_removal(tmp_path):
    path, folder = write_model(tmp_path / "m.gguf", metadata={"general.name": "Tiny"}), tmp_path
    logits(path, files_in(folder / "kept"))
    [held] = kept_files(folder / "kept")
    assert held.model == "Tiny" and held.bytes > PAGE
    assert clear_kept(folder / "kept") == held.bytes
    assert not kept_files(folder / "kept") and not kept_files(tmp_path / "missing")
