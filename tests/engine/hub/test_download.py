"""Downloads: in parts, continued, checked, atomic, whatever the network does."""

import hashlib
from pathlib import Path

import pytest
from hub_server import FakeHub, Fault, serving

from lepton_cli.engine.hub.download import Expected, fetch
from lepton_cli.engine.hub.events import Checking, Progress, Remark
from lepton_cli.engine.hub.transport import Hub, Transport
from quant.errors import LeptonError

DATA = b"GGUF" + bytes(range(256)) * 40
PIECE = 1000


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
