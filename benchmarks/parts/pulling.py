"""CPU and wall time to download a file with `lepton pull`, huggingface_hub and curl, for
docs/performance.md: from a server of its own on this machine, in alternating rounds.

python benchmarks/parts/pulling.py [MB] [ROUNDS]
"""

import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

REPO, FILE, COMMIT = "some/Model-GGUF", "model-Q8_0.gguf", "c0ffee" + "0" * 34
RANGE = re.compile(r"bytes=(\d+)-(\d+)")
HUB = f"from huggingface_hub import hf_hub_download as get; get({REPO!r}, {FILE!r})"


def serve(megabytes: int, port: Connection) -> None:
    """A hub with one file of random bytes."""
    data = b"GGUF" + os.urandom(megabytes * 1_000_000 - 4)
    digest = hashlib.sha256(data).hexdigest()
    lfs = {"sha256": digest, "size": len(data)}
    listing = {"sha": COMMIT, "siblings": [{"rfilename": FILE, "size": len(data), "lfs": lfs}]}

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(200, data, body=False)

        def do_GET(self) -> None:
            asked = RANGE.fullmatch(self.headers.get("Range", ""))
            if self.path.startswith("/api/"):
                self.answer(200, json.dumps(listing).encode())
            elif asked:
                self.answer(206, data, int(asked[1]), int(asked[2]) + 1)
            else:
                self.answer(200, data)

        def answer(
            self, status: int, whole: bytes, begin: int = 0, end: int = -1, *, body: bool = True
        ) -> None:
            end = len(whole) if end < 0 else end
            self.send_response(status)
            self.send_header("Content-Length", str(end - begin))
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(whole)}")
            self.send_header("ETag", f'"{digest}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if body:
                self.wfile.write(memoryview(whole)[begin:end])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port.send(server.server_address[1])
    server.serve_forever()


def timed(command: list[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """CPU and wall seconds."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.perf_counter() - start


def main(megabytes: int = 500, rounds: int = 5) -> None:
    ours, theirs = Pipe()
    server = Process(target=serve, args=(megabytes, theirs), daemon=True)
    server.start()
    endpoint = f"http://127.0.0.1:{ours.recv()}"
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "HF_ENDPOINT": endpoint,
            "HF_HOME": folder,
            "HF_HUB_DISABLE_XET": "1",
        }
        url = f"{endpoint}/{REPO}/resolve/main/{FILE}"
        commands = {
            "lepton pull": [sys.executable, "-m", "lepton_cli", "pull", "-q", f"{REPO}:Q8_0"],
            "huggingface_hub": [sys.executable, "-c", HUB],
            "curl, sha256sum": ["sh", "-c", f"curl -so {folder}/x {url} && sha256sum {folder}/x"],
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                times[name].append(timed(command, environment))
                shutil.rmtree(Path(folder, "hub"), ignore_errors=True)
    server.terminate()
    print(f"| {megabytes} MB | CPU, best | CPU, median | wall, best | wall, median |")
    print("|---|---:|---:|---:|---:|")
    for name, found in times.items():
        columns = [pick(part) for part in zip(*found, strict=True) for pick in (min, median)]
        print(f"| {name} | " + " | ".join(f"{each:.2f} s" for each in columns) + " |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
