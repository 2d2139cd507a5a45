"""`lepton batch` as a process: killed at any moment, interrupted on a terminal."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pexpect = pytest.importorskip("pexpect")

ROOT = Path(__file__).parents[3]
WAIT = 180  # seconds: a busy machine may have kernels to compile first
BATCH = ("-m", "lepton_cli", "batch", "builtin", "rows.jsonl", "-n", "30")
ROWS = [{"id": i, "prompt": f"Tell me a story about {i % 7} cats."} for i in range(40)]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


@pytest.fixture
def folder(tmp_path):
    lines = [json.dumps(row) for row in ROWS]
    (tmp_path / "rows.jsonl").write_text("\n".join([*lines[:3], "{bad", *lines[3:]]) + "\n")
    return tmp_path


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100"}


def started(folder: Path, *args: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *BATCH, *args],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_killed_again_and_again_a_batch_loses_nothing_and_repeats_nothing(folder):
    out = folder / "out.jsonl"
    expected = started(folder).communicate()[0]
    assert len(expected.splitlines()) == len(ROWS) + 1
    seen: list[bytes] = []
    for goal in (1, 12, 13, 30):
        process = started(folder, "-o", "out.jsonl", "--jobs", "4")
        while lines(out) < goal and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        whole = out.read_bytes().splitlines(keepends=True)[: lines(out)]
        assert whole[: len(seen)] == seen
        seen = whole
    last = started(folder, "-o", "out.jsonl")
    last.communicate()
    assert last.returncode == 1  # of the bad row
    assert out.read_bytes() == expected


@pytest.mark.parametrize("strikes", [1, 2])
def test_ctrl_c_on_a_terminal(folder, strikes):
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS * 20))
    args = [*BATCH, "-o", "out.jsonl", "--jobs", "4"]
    child = pexpect.spawn(
        sys.executable, args, cwd=str(folder), env=environment(), timeout=WAIT, dimensions=(24, 100)
    )
    child.expect(r"\d+/800")
    child.expect(r"t/s")
    for _ in range(strikes):
        child.sendintr()
    child.expect(r"note: 800 rows: (\d+) answered, 0 failed; (\d+) are left")
    answered, left = map(int, child.match.groups())
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    assert answered + left == 800
    assert lines(folder / "out.jsonl") == answered


def test_a_batch_in_a_pipe_draws_no_bar_and_imports_no_rich(folder):
    script = (
        "import sys; from lepton_cli.__main__ import run; code = run(sys.argv[1:]); "
        "print('rich' in sys.modules, file=sys.stderr); sys.exit(code)"
    )
    command = [sys.executable, "-c", script, *BATCH[2:], "-o", "out.jsonl"]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    note, rich = done.stderr.splitlines()[-2:]
    assert note.startswith("lepton: note: 41 rows: 40 answered, 1 failed; ")
    assert (rich, done.stdout) == ("False", "")
