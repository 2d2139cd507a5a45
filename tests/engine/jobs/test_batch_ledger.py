"""The file of results: nothing that was told is lost, nothing of another is touched."""

import os
import stat
import sys
import threading
import time
from pathlib import Path

import pytest
from platforms import posix

from lepton_cli.engine.jobs import ledger as module
from lepton_cli.engine.jobs.ledger import Ledger
from lepton_cli.engine.jobs.planning import Fingerprint
from lepton_cli.engine.jobs.records import line_of, read_record
from quant.errors import LeptonError, UsageError

PRINT = Fingerprint("m", "t", "p", "c")
KEYS = ["k1", "k2", "k3", "k4"]


def record(row: int, text: str = "ü\x85\u2028", fingerprint: str = str(PRINT)) -> dict[str, object]:
    return {"row": row, "id": None, "text": text, "key": f"k{row}", "fingerprint": fingerprint}


def failed(row: int) -> dict[str, object]:
    return {**record(row), "error": {"code": "failed", "message": "x", "hint": None}}


def openai(row: int) -> dict[str, object]:
    ours = {"row": row, "key": f"k{row}", "fingerprint": str(PRINT)}
    return {"id": f"batch_req_k{row}", "custom_id": "a", "error": None, "lepton": ours}


def written(path: Path, *records: dict[str, object]) -> bytes:
    with Ledger(path) as ledger:
        for each in records:
            ledger.append(each)
    return path.read_bytes()


@pytest.mark.parametrize("make", [record, openai])
def test_a_file_cut_after_a_result_keeps_all_whole_lines(tmp_path, monkeypatch, make):
    monkeypatch.setattr(module, "SYNC", lambda handle: None)  # hundreds of times
    path = tmp_path / "out.jsonl"
    whole = written(path, make(1), make(2))
    first = len(line_of(make(1)))
    for end in (0, *range(first - 1, len(whole) + 1)):
        path.write_bytes(whole[:end])
        with Ledger(path) as ledger:
            ledger.check(PRINT, KEYS)
            kept = list(ledger.places)
            assert path.read_bytes() == whole[:end]  # it is looked at, and no more
            ledger.append(make(3))
        complete = [key for key, size in (("k1", first), ("k2", len(whole))) if end >= size - 1]
        assert kept == complete, end
        lines = path.read_bytes().splitlines(keepends=True)
        assert [read_record(line)["lepton" if make is openai else "row"] for line in lines] == [
            make(int(key[1]))["lepton" if make is openai else "row"] for key in [*kept, "k3"]
        ]


@pytest.mark.parametrize("make", [record, openai])
def test_a_torn_line_without_a_result_before_it_may_be_anybodys(tmp_path, make):
    path = tmp_path / "out.jsonl"
    line = line_of(make(1))
    for end in range(1, len(line) - 1):
        path.write_bytes(line[:end])
        with (
            Ledger(path) as ledger,
            pytest.raises(UsageError, match="not an output of"),
        ):
            ledger.check(PRINT, KEYS)
        assert path.read_bytes() == line[:end]


def test_zeros_that_a_power_cut_left_are_cut_off(tmp_path):
    path = tmp_path / "out.jsonl"
    whole = written(path, record(1))
    path.write_bytes(whole + bytes(500))
    assert written(path, record(2)) == whole + line_of(record(2))


@pytest.mark.parametrize("tail", [-1, None])
def test_a_last_line_is_mended_where_all_rows_are_answered(tmp_path, tail):
    path = tmp_path / "out.jsonl"
    whole = written(path, record(1), record(2))
    path.write_bytes(whole[:tail] if tail else whole + b'{"row": 3')
    with Ledger(path) as ledger:
        ledger.check(PRINT, KEYS)
        ledger.arrange(["k1", "k2"])
    assert path.read_bytes() == whole


def test_a_whole_last_line_without_its_end_gets_one(tmp_path):
    path = tmp_path / "out.jsonl"
    whole = written(path, record(1))
    path.write_bytes(whole[:-1])
    with Ledger(path) as ledger:
        assert list(ledger.lines(["k1"])) == list(ledger.all_lines()) == [whole]
    assert path.read_bytes() == whole


def test_a_line_stays_one_line_forevery_reader(tmp_path):
    assert len(written(tmp_path / "out.jsonl", record(1)).decode().splitlines()) == 1


def test_of_two_lines_with_one_key_the_last_counts(tmp_path):
    path = tmp_path / "out.jsonl"
    written(path, failed(1), record(2))
    with Ledger(path) as ledger:
        assert ledger.places["k1"].label.failed
        ledger.append(record(1))
        assert not ledger.places["k1"].label.failed
        ledger.arrange(["k1", "k2"])
    assert path.read_bytes() == line_of(record(1)) + line_of(record(2))


def test_lines_are_arranged_in_the_order_of_the_rows_and_renumbered(tmp_path):
    path = tmp_path / "out.jsonl"
    written(path, record(3), openai(1), record(4), record(2))
    path.chmod(0o640)
    with Ledger(path) as ledger:
        ledger.arrange(["k4", "k1", "k2"])
    found = [read_record(line) for line in path.read_bytes().splitlines()]
    assert found[0] == {**record(4), "row": 1}
    assert found[1]["lepton"]["row"] == 2
    assert found[2] == {**record(2), "row": 3}
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["out.jsonl"]


def test_a_file_in_order_is_not_written_again(tmp_path):
    path = tmp_path / "out.jsonl"
    written(path, record(1), record(2))
    before = path.stat().st_ino
    with Ledger(path) as ledger:
        ledger.arrange(["k1", "k2"])
    assert path.stat().st_ino == before


def test_a_link_is_written_through(tmp_path):
    path = tmp_path / "out.jsonl"
    link = tmp_path / "link"
    link.symlink_to(path)
    with Ledger(link) as ledger:
        ledger.append(record(2))
        ledger.append(record(1))
        ledger.arrange(["k1", "k2"])
    assert link.is_symlink()
    assert path.read_bytes() == line_of(record(1)) + line_of(record(2))


@pytest.mark.parametrize(
    "content",
    [
        b"my notes",
        b"my notes\n",
        b'{"row": 1}\n',
        b'{"a": 1}\n{"b"',
        b'{"row": 1, "customer": "A. Person", "note": "do not lose me"}',
        b"{",
        b'{"id": "batch_req_1',
        b"\xff\x00",
        b"\n",
        line_of(record(1)) + b"noise\n",
        line_of(record(1)) + b"noise\n" + line_of(record(2)) + b"x",
    ],
)
def test_a_file_of_something_else_is_refused_untouched(tmp_path, content):
    path = tmp_path / "out.jsonl"
    path.write_bytes(content)
    with Ledger(path) as ledger, pytest.raises(UsageError, match="not an output of"):
        ledger.check(PRINT, KEYS)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"my notes", b"my notes\n"])
def test_what_is_foreign_goes_only_when_all_is_done(tmp_path, content):
    path = tmp_path / "out.jsonl"
    path.write_bytes(content)
    with Ledger(path) as ledger:
        ledger.append(record(1))
        assert path.read_bytes() == content.rstrip() + b"\n" + line_of(record(1))
        ledger.arrange(["k1"])
    assert path.read_bytes() == line_of(record(1))


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (record(1, fingerprint="n-t-p"), "1 result of another model"),
        (record(1, fingerprint="m-u-p"), "1 result of another prompt template"),
        (record(1, fingerprint="m-t-q"), "1 result of other parameters"),
        (record(1, fingerprint="m"), "1 result of another version"),
        (record(9), "1 result of rows that are not in the input"),
    ],
)
def test_results_of_something_else_are_refused(tmp_path, other, told):
    path = tmp_path / "out.jsonl"
    before = written(path, record(2), other)
    with Ledger(path) as ledger, pytest.raises(UsageError, match=told) as caught:
        ledger.check(PRINT, KEYS)
    assert "--overwrite" in str(caught.value.hint)
    assert path.read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
def test_two_batches_do_not_write_one_file(tmp_path):
    path = tmp_path / "out.jsonl"
    with Ledger(path), pytest.raises(UsageError, match="another lepton batch"):
        Ledger(path)


@pytest.mark.skipif(sys.platform == "win32", reason="the file is closed before it is replaced")
def test_a_batch_that_waited_for_a_replaced_file_does_not_write_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "out.jsonl"
    written(path, record(1))
    lock = module.fcntl.flock

    def late(file, how):
        lock(file, how)
        os.replace(path, tmp_path / "old")
        path.write_bytes(b"")

    monkeypatch.setattr(module.fcntl, "flock", late)
    with pytest.raises(UsageError, match="another lepton batch"):
        Ledger(path)


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such limits")
@pytest.mark.parametrize("room", [0, 1, 60])
def test_a_full_disk_tears_no_line(tmp_path, room):
    import resource

    path = tmp_path / "out.jsonl"
    before = written(path, record(1), record(2))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Ledger(path) as ledger:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + room, limits[1]))
        try:
            with pytest.raises(LeptonError, match="it holds 2 results") as caught:
                ledger.append(record(3))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "continues from there" in str(caught.value.hint)
    assert path.read_bytes() == before
    assert written(path, record(3)) == before + line_of(record(3))


def test_no_room_to_arrange_keeps_every_result(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    path = tmp_path / "out.jsonl"
    before = written(path, record(2), record(1))
    with Ledger(path) as ledger:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(LeptonError, match="is complete, but cannot be sorted"):
            ledger.arrange(["k1", "k2"])
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["out.jsonl"]


def test_a_row_is_counted_when_it_is_on_the_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(module, "SYNC", lambda handle: synced.append(os.fstat(handle).st_size))
    with Ledger(tmp_path / "out.jsonl") as ledger:
        sizes = [0]
        for row in range(1, 5):
            ledger.append(record(row))
            sizes.append(os.path.getsize(ledger.path))
            safe = ledger.safe
            assert not safe or max(synced) >= sizes[safe]
    assert ledger.safe == 4
    assert synced[-1] == sizes[-1]


def test_rows_that_come_while_the_disk_is_busy_are_not_counted_with_it(tmp_path, monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(module, "SYNC", lambda handle: gate.wait(10))
    with Ledger(tmp_path / "out.jsonl") as ledger:
        for row in range(1, 4):
            ledger.append(record(row))
        assert ledger.safe == 0
        gate.set()
        while not ledger.safe:
            time.sleep(0.001)
        assert ledger.safe == 1
    assert ledger.safe == 3


def test_a_disk_that_loses_what_it_was_given_is_reported(tmp_path, monkeypatch):
    def broken(handle):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module, "SYNC", broken)
    with pytest.raises(LeptonError, match="Input/output error"), Ledger(tmp_path / "o") as ledger:
        ledger.append(record(1))


def test_an_empty_file_does_not_stay_where_nothing_could_begin(tmp_path):
    path = tmp_path / "out.jsonl"
    with pytest.raises(LeptonError), Ledger(path):
        raise LeptonError("no such model")
    assert not path.exists()
    with Ledger(path):
        pass
    assert path.exists()


@pytest.mark.parametrize("name", ["missing/out.jsonl", "."])
def test_a_place_that_cannot_be_written_is_reported(tmp_path, name):
    with pytest.raises(UsageError) as caught:
        Ledger(tmp_path / name)
    assert "another -o" in str(caught.value.hint)


@posix
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o666])
def test_an_arranged_file_has_the_mode_of_the_old_one(tmp_path, mode):
    path = tmp_path / "out.jsonl"
    written(path, record(2), record(1))
    path.chmod(mode)
    with Ledger(path) as ledger:
        ledger.arrange(["k1", "k2"])
    assert stat.S_IMODE(path.stat().st_mode) == mode


@posix
def test_a_draft_that_was_planted_is_not_written_through(tmp_path):
    path, mine = tmp_path / "out.jsonl", tmp_path / "mine"
    written(path, record(2), record(1))
    mine.write_text("precious")
    (tmp_path / ".out.jsonl.draft").symlink_to(mine)
    with Ledger(path) as ledger:
        ledger.arrange(["k1", "k2"])
    assert mine.read_text() == "precious"
    assert not path.is_symlink()
