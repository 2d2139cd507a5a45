"""A hub on loopback, with the faults that a network has."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

COMMIT = "c0ffee" + "0" * 34
PROBED = 4  # bytes of a file that are asked for first
RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass
class Fault:
    """How the next answers to a path go wrong, one by one."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None  # bytes of the body


@dataclass
class FakeHub:
    """Its files by repository and path; `requests` are (path, headers) of all that were asked."""

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    plain: dict[str, bytes] = field(default_factory=dict)  # at addresses outside repositories
    faults: dict[str, list[Fault]] = field(default_factory=dict)  # by a part of the path
    gated: dict[str, str] = field(default_factory=dict)  # the token that a repository wants
    listed: dict[str, dict[str, Any]] = field(default_factory=dict)  # what its listing says instead
    commits: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    ranges: bool = True
    validators: bool = True
    lengths: bool = True
    storage: str | None = None  # the address of another server, which has the files' bytes
    endpoint: str = ""
    stall: threading.Event | None = None  # a body stops half-way until it is set

    def asked(self, part: str) -> list[dict[str, str]]:
        """The headers of the requests whose path contains it."""
        return [headers for path, headers in self.requests if part in path]

    def spans(self) -> list[tuple[int, int]]:
        """The ranges of files that were asked for, except for the first bytes' probe."""
        found = [RANGE.fullmatch(headers.get("range", "")) for _, headers in self.requests]
        spans = [(int(match[1]), int(match[2])) for match in found if match]
        return [span for span in spans if span != (0, PROBED - 1)]

    def listing(self, repo: str) -> dict[str, Any]:
        siblings = [
            {
                "rfilename": path,
                "size": len(data),
                "blobId": "0" * 40,
                "lfs": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)},
            }
            for path, data in self.files[repo].items()
        ]
        answer = {"sha": self.commits.get(repo, COMMIT), "siblings": siblings}
        return answer | self.listed.get(repo, {})


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """Runs it in a thread; its address is in `endpoint`."""

    class Handler(_Handler):
        served = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        if hub.stall:
            hub.stall.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    served: FakeHub

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        hub, headers = self.served, {name.lower(): text for name, text in self.headers.items()}
        hub.requests.append((self.path, headers))
        path = unquote(self.path.partition("?")[0]).lstrip("/")
        fault = next((hub.faults[part].pop(0) for part in hub.faults if self._hits(part)), Fault())
        if fault.status is not None:
            self._answer(fault.status, b"", fault.headers)
        elif path.startswith("api/models/"):
            self._describe(path.removeprefix("api/models/"), fault)
        elif path == "api/models":
            self._json([{"id": repo} for repo in hub.files], fault)
        else:
            self._send(path, fault)

    def _hits(self, part: str) -> bool:
        return part in self.path and bool(self.served.faults[part])

    def _describe(self, path: str, fault: Fault) -> None:
        repo = path.partition("/revision/")[0]
        if repo not in self.served.files:
            self._answer(401, b"", {"X-Error-Code": "RepoNotFound"})
        elif path.partition("/revision/")[2] not in ("main", COMMIT):
            self._answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        else:
            self._json(self.served.listing(repo), fault)

    def _json(self, answer: object, fault: Fault) -> None:
        self._answer(200, json.dumps(answer).encode(), {}, fault.cut_after)

    def _send(self, path: str, fault: Fault) -> None:
        hub = self.served
        repo, _, inside = path.partition("/resolve/")
        if inside and repo in hub.files:
            wanted = f"Bearer {hub.gated[repo]}" if repo in hub.gated else None
            if wanted and self.headers.get("Authorization") != wanted:
                self._answer(401, b"", {"X-Error-Code": "GatedRepo"})
                return
            data = hub.files[repo].get(inside.partition("/")[2])
        else:
            data = hub.plain.get(path)
        if data is None:
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        elif hub.storage and inside:
            digest = hashlib.sha256(data).hexdigest()
            headers = {"Location": f"{hub.storage}/{digest}", "X-Linked-Etag": f'"{digest}"'}
            self._answer(302, b"", headers)
        else:
            self._send_bytes(data, fault)

    def _send_bytes(self, data: bytes, fault: Fault) -> None:
        tag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
        match = RANGE.fullmatch(self.headers.get("Range", "")) if self.served.ranges else None
        if match and self.headers.get("If-Range", tag) == tag:
            first, last = int(match[1]), min(int(match[2] or len(data)), len(data) - 1)
            if first >= len(data):
                self._answer(416, b"", {})
                return
            headers = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
            status, body = 206, data[first : last + 1]
        else:
            headers, status, body = {}, 200, data
        if self.served.validators:
            headers["ETag"] = tag
        stall = self.served.stall if len(body) > PROBED else None
        cut_after = len(body) // 2 if stall else fault.cut_after
        self._answer(status, body, headers | fault.headers, cut_after)
        if stall:
            self.wfile.flush()
            stall.wait()
            self.wfile.write(body[cut_after:])

    def _answer(
        self, status: int, body: bytes, headers: dict[str, str], cut_after: int | None = None
    ) -> None:
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        if self.served.lengths:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:cut_after])
