"""Downloads: in parts, continued, checked, atomic, whatever the network does."""

import errno
import hashlib
import json
import shutil
import threading
from collections import namedtuple
from pathlib import Path

import pytest
from hub_server import FakeHub, Fault, serving
from make_gguf import write_model

from lepton_cli.engine.hub.download import Expected, fetch
from lepton_cli.engine.hub.events import Checking, Progress, Remark
from lepton_cli.engine.hub.part_file import PartFile
from lepton_cli.engine.hub.transport import Hub, TemporaryError, Transport
from quant.errors import LeptonError

DATA = b"GGUF" + bytes(range(256)) * 40
PIECE = 1000
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def server():
    with serving(FakeHub(plain={"m.gguf": DATA})) as hub:
        yield hub


class Client:
    """Downloads DATA from a server; keeps what it was told and how long it was to wait."""

    def __init__(self, server: FakeHub, folder: Path, token: str | None = None) -> None:
        self.server, self.target = server, folder / "m.gguf"
        self.events, self.waits = [], []
        self.transport = Transport(Hub(server.endpoint, token), self.tell, self.waits.append)

    def tell(self, event):
        self.events.append(event)

    def fetch(self, digest=None, size=None, piece=PIECE, tell=None):
        url = f"{self.server.endpoint}/m.gguf"
        expected = Expected("m.gguf", url, size, digest)
        return fetch(self.transport, expected, self.target, tell or self.tell, piece_bytes=piece)

    @property
    def left(self):
        return sorted(path.name for path in self.target.parent.iterdir())

    @property
    def remarks(self):
        return [event.text for event in self.events if isinstance(event, Remark)]


@pytest.fixture
def client(server, tmp_path):
    return Client(server, tmp_path)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_file_arrives_whole_in_parts(client, server):
    client.fetch(sha256(DATA), len(DATA))
    assert client.target.read_bytes() == DATA
    assert client.left == ["m.gguf"]
    assert sorted(server.spans())[0] == (0, PIECE - 1)
    assert len(server.spans()) == -(-len(DATA) // PIECE)
    assert Progress("m.gguf", len(DATA), len(DATA)) in client.events
    assert Checking("m.gguf") in client.events


def test_a_connection_that_is_cut_continues_where_it_was(client, server):
    server.faults["m.gguf"] = [Fault(), Fault(cut_after=300)]
    client.fetch(piece=1 << 20)
    assert client.target.read_bytes() == DATA
    assert server.spans() == [(0, len(DATA) - 1), (300, len(DATA) - 1)]
    assert client.waits == [1.0]


def test_cuts_that_go_on_end_with_an_error_and_the_next_try_continues(client, server):
    server.faults["m.gguf"] = [Fault(), Fault(cut_after=300)] + [Fault(cut_after=0)] * 9
    with pytest.raises(LeptonError, match="closed the connection"):
        client.fetch(piece=1 << 20)
    assert client.left == ["m.gguf.part", "m.gguf.part.json"]
    server.faults.clear()
    server.requests.clear()
    client.fetch(piece=1 << 20)
    assert server.spans() == [(300, len(DATA) - 1)]
    assert client.target.read_bytes() == DATA
    assert client.left == ["m.gguf"]


def test_an_error_of_the_server_is_tried_again_and_again(client, server):
    server.faults["m.gguf"] = [Fault(500), Fault(503), Fault(), Fault(502)]
    client.fetch(sha256(DATA))
    assert client.target.read_bytes() == DATA
    assert client.waits == [1.0, 2.0, 1.0]


def test_a_busy_server_says_how_long_to_wait(client, server):
    server.faults["m.gguf"] = [Fault(429, {"Retry-After": "17"})]
    client.fetch()
    assert client.waits == [17.0]
    assert any("429" in text and "17 s" in text for text in client.remarks)


def test_a_pause_of_all_connections_is_told_once(client):
    for retries in [client.transport.retries() for _ in range(4)]:
        retries.after(TemporaryError("the server is busy", 3))
    assert client.waits == [3] * 4
    assert client.remarks == ["the server is busy; another try in 3 s"]


def test_nobody_waits_for_an_hour(client, server):
    server.faults["m.gguf"] = [Fault(429, {"Retry-After": "3600"})]
    with pytest.raises(LeptonError, match="asks to wait for 3600 s"):
        client.fetch()
    assert client.waits == []


def test_a_wrong_hash_leaves_nothing(client):
    with pytest.raises(LeptonError, match="arrived damaged"):
        client.fetch("0" * 64)
    assert client.left == []


def test_a_wrong_length_is_told_before_anything_is_downloaded(client, server):
    with pytest.raises(LeptonError, match=f"has {len(DATA)} bytes, the hub says 7"):
        client.fetch(sha256(DATA), 7)
    assert (client.left, server.spans()) == ([], [])


def test_git_s_hash_of_a_small_file_is_checked_too(client):
    header = b"blob %d\0" % len(DATA)
    digest = hashlib.sha1(header + DATA, usedforsecurity=False).hexdigest()
    client.fetch(digest)
    assert client.target.read_bytes() == DATA


def test_a_page_instead_of_a_model_is_refused(client, server):
    server.plain["m.gguf"] = b"<!DOCTYPE html>" * 1000
    with pytest.raises(LeptonError, match="not a GGUF file"):
        client.fetch()
    assert client.left == []


@pytest.mark.parametrize("lengths", [True, False])
def test_a_server_without_ranges_sends_all_at_once(client, server, lengths):
    server.ranges, server.lengths = False, lengths
    client.fetch(sha256(DATA))
    assert client.target.read_bytes() == DATA
    assert len(server.requests) == 2  # one that asked whether it has ranges


def test_without_hash_and_length_the_header_tells_whether_all_came(client, server, tmp_path):
    data = write_model(tmp_path / "made").read_bytes()
    (tmp_path / "made").unlink()
    server.ranges, server.lengths = False, False
    server.plain["m.gguf"] = data
    client.fetch()
    assert client.target.read_bytes() == data
    client.target.unlink()
    server.faults["m.gguf"] = [Fault(), Fault(cut_after=len(data) - 1)]
    with pytest.raises(LeptonError, match="arrived cut short"):
        client.fetch()
    assert client.left == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Range": "bytes 0-3/9999999999999999999999"},
        {"Content-Range": "bytes 0-3/999999999999999999"},
        {"Content-Length": "9" * 5000},
        {"Retry-After": "\xb2"},
    ],
)
def test_absurd_numbers_of_a_server_are_harmless(client, server, headers):
    status = 429 if "Retry-After" in headers else None
    server.faults["m.gguf"] = [Fault(status, headers), Fault(404)]
    with pytest.raises(LeptonError):
        client.fetch()
    assert client.target not in client.target.parent.iterdir()


def test_a_file_with_a_hash_is_not_thrown_away_for_one_odd_answer(client, server):
    odd = {"Content-Range": "bytes 0-9/10"}
    server.faults["m.gguf"] = [Fault(), Fault(cut_after=300), Fault(headers=odd)]
    client.fetch(sha256(DATA), piece=1 << 20)
    assert client.target.read_bytes() == DATA
    assert [first for first, _ in server.spans()] == [0, 300, 300]


def test_a_server_without_ranges_begins_again_after_a_cut(client, server):
    server.ranges = False
    server.faults["m.gguf"] = [Fault(), Fault(cut_after=300)]
    client.fetch()
    assert client.target.read_bytes() == DATA


def stopped(client, server, after=2500):
    """A download that broke off, after some bytes."""
    server.faults["m.gguf"] = [Fault(), Fault(cut_after=after)] + [Fault(404)] * 9
    with pytest.raises(LeptonError, match="404"):
        client.fetch(piece=1 << 20)
    server.faults.clear()
    server.requests.clear()


def test_what_came_of_many_parts_is_not_asked_for_again(client, server):
    server.stall = threading.Event()

    def tell(event):
        if isinstance(event, Progress) and event.done >= 4 * PIECE // 2:  # of each connection's
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.fetch(sha256(DATA), tell=tell)
    server.stall.set()
    server.stall = None
    server.requests.clear()
    client.fetch(sha256(DATA))
    assert sum(last + 1 - first for first, last in server.spans()) == len(DATA) - 2 * PIECE


def test_a_file_that_changed_meanwhile_begins_again(client, server):
    stopped(client, server)
    server.plain["m.gguf"] = newer = b"GGUF" + DATA[:3:-1]
    client.fetch(piece=1 << 20)
    assert client.target.read_bytes() == newer
    assert server.spans() == [(0, len(newer) - 1)]


def test_a_file_that_changes_while_it_comes_begins_again(client, server):
    newer = b"GGUF" + DATA[:3:-1]
    server.faults["m.gguf"] = [Fault(), Fault(cut_after=300)]
    client.transport._wait = lambda seconds: server.plain.update({"m.gguf": newer})
    client.fetch(piece=1 << 20)
    assert client.target.read_bytes() == newer
    assert any("changed on the server; beginning again" in text for text in client.remarks)


def test_without_a_version_of_the_file_nothing_is_continued(client, server):
    server.validators = False
    server.faults["m.gguf"] = [Fault(), Fault(cut_after=300)] + [Fault(404)] * 9
    with pytest.raises(LeptonError, match="404"):
        client.fetch()
    server.faults.clear()
    client.fetch()
    assert client.target.read_bytes() == DATA
    assert server.spans() == []


def test_the_hash_is_enough_of_a_version(client, server):
    server.validators = False
    server.faults["m.gguf"] = [Fault(), Fault(cut_after=300)] + [Fault(404)] * 9
    with pytest.raises(LeptonError, match="404"):
        client.fetch(sha256(DATA), piece=1 << 20)
    server.faults.clear()
    server.requests.clear()
    client.fetch(sha256(DATA), piece=1 << 20)
    assert server.spans() == [(300, len(DATA) - 1)]
    assert client.target.read_bytes() == DATA


@pytest.mark.parametrize(
    "record", [b"", b"{", b"[]", b'{"size": 1}', b'{"missing": [[0, 1, 2]]}', b"\xff"]
)
def test_a_damaged_record_is_no_obstacle(client, server, record):
    stopped(client, server)
    (client.target.parent / "m.gguf.part.json").write_bytes(record)
    client.fetch()
    assert client.target.read_bytes() == DATA


@pytest.mark.parametrize("missing", [[[0, 10**9]], [[-5, 10]], [[9, 3]], [[0, 9], [4, 12]]])
def test_a_record_of_impossible_ranges_is_not_believed(client, server, missing):
    stopped(client, server)
    record = client.target.parent / "m.gguf.part.json"
    found = json.loads(record.read_bytes())
    record.write_text(json.dumps(found | {"missing": missing}))
    client.fetch(sha256(DATA))
    assert client.target.read_bytes() == DATA


def test_a_record_of_bytes_that_are_not_there_is_not_believed(client, server):
    stopped(client, server)
    with (client.target.parent / "m.gguf.part").open("r+b") as part:
        part.truncate(100)
    client.fetch()
    assert client.target.read_bytes() == DATA


def test_a_disk_with_too_little_room_is_told_beforehand(client, server, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10, 5, 5))
    with pytest.raises(LeptonError, match=r"disk of .* has 0\.0 MB free"):
        client.fetch()
    assert server.spans() == []


def test_what_is_here_already_needs_no_room(client, server, monkeypatch):
    stopped(client, server)
    rest = len(DATA) - 2500
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(rest, 0, rest))
    client.fetch()
    assert client.target.read_bytes() == DATA


def test_a_disk_that_fills_up_keeps_what_came(client, server, monkeypatch):
    real = PartFile.write

    def write(part, piece, data):
        real(part, piece, data[: 3000 - piece.begin])
        if piece.begin == 3000:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PartFile, "write", write)
    with pytest.raises(LeptonError, match=r"is full: .* of .* are here") as caught:
        client.fetch(piece=1 << 20)
    assert "HF_HUB_CACHE" in caught.value.hint
    assert client.left == ["m.gguf.part", "m.gguf.part.json"]
    monkeypatch.undo()
    server.requests.clear()
    client.fetch(piece=1 << 20)
    assert client.target.read_bytes() == DATA
    assert server.spans() == [(3000, len(DATA) - 1)]


def test_ctrl_c_keeps_what_came(client, server):
    server.stall = threading.Event()

    def tell(event):
        if isinstance(event, Progress) and event.done >= len(DATA) // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.fetch(sha256(DATA), piece=1 << 20, tell=tell)
    assert client.left == ["m.gguf.part", "m.gguf.part.json"]
    server.stall.set()
    server.stall = None
    server.requests.clear()
    client.fetch(sha256(DATA), piece=1 << 20)
    assert server.spans() == [(len(DATA) // 2, len(DATA) - 1)]
    assert client.target.read_bytes() == DATA


def test_a_server_that_is_not_there_is_told_at_once(tmp_path):
    server = FakeHub(endpoint="http://127.0.0.1:9")
    client = Client(server, tmp_path)
    with pytest.raises(LeptonError, match=r"cannot connect to 127\.0\.0\.1"):
        client.fetch()
    assert client.waits == []
