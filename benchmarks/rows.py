"""A thousand short rows: `lepton batch` compared with a shell loop that starts llama.cpp.

    python benchmarks/rows.py MODEL.gguf --python ~/llama/bin/python -t 2

The loop's time is that of some rows, each a run of its own from opening the file to the last token,
without what Python and the binding take; Lepton's is the whole command's, resume file included.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from compare import wait_for_quiet
from peer import LLAMACPP, UBATCH, PeerError, alone, build_of

from ops.machine import cpu_name, default_threads

TEXT = "Number {n} of the list: say in a few words what comes to your mind about it."


def lepton(given: argparse.Namespace, rows: int) -> float:
    """Seconds of the command."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "rows.jsonl"), Path(folder, "out.jsonl")
        lines = (json.dumps({"text": TEXT.format(n=n)}) for n in range(rows))
        source.write_text("\n".join(lines))
        words = [sys.executable, "-m", "lepton_cli", "batch", str(given.model), str(source)]
        words += ["-o", str(out), "--temp", "0", "-n", str(given.generate), "--ignore-eos"]
        words += ["-t", str(given.threads), "-c", "1024", "-p", "{text}"]
        begin = time.perf_counter()
        subprocess.run(words, check=True, stderr=subprocess.DEVNULL)
        seconds = time.perf_counter() - begin
        written = len(out.read_text().splitlines())
    if written != rows:
        raise SystemExit(f"{written} of {rows} rows are in the result")
    return seconds


def llamacpp(given: argparse.Namespace, row: int) -> float:
    """Seconds of one row. Raises PeerError."""
    words = [given.python, str(LLAMACPP), "first", str(given.model), "--context", "1024"]
    words += ["--threads", str(given.threads), "--ubatch", str(UBATCH)]
    words += ["--generate", str(given.generate), "--prompt", TEXT.format(n=row)]
    return float(alone(*words)["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--python", default=sys.executable, help="that has llama-cpp-python")
    parser.add_argument("-t", "--threads", type=int, default=default_threads().count)
    parser.add_argument("-n", "--generate", type=int, default=24)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--loop", type=int, default=20, help="rows of the loop that are timed")
    given = parser.parse_args()
    lepton(given, 2)  # compiles kernels
    wait_for_quiet()
    before = [llamacpp(given, row) for row in range(given.loop // 2)]
    wait_for_quiet()
    ours = lepton(given, given.rows)
    after = [llamacpp(given, row) for row in range(given.loop // 2)]
    each = statistics.median(before + after)
    print(
        f"{cpu_name()}, {given.threads} threads, {given.model.name}, {given.generate} tokens a row"
    )
    print(build_of(given.python))
    print("\n| | rows a minute | 1000 rows |\n|---|---:|---:|")
    print(f"| a loop of llama.cpp runs | {60 / each:.0f} | {1000 * each:.0f} s |")
    print(f"| lepton batch | {60 * given.rows / ours:.0f} | {1000 * ours / given.rows:.0f} s |")


if __name__ == "__main__":
    try:
        main()
    except PeerError as error:
        raise SystemExit(str(error)) from error
