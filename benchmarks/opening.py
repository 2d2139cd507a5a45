"""The time to open and list a model file and to build its tokenizer, for docs/performance.md.

python benchmarks/opening.py FILE...
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from lepton_cli.engine.text.tokenizer import build_tokenizer
from quant.gguf import GGUF

ROUNDS = 5


def best_of(action: Callable[[], object]) -> float:
    """The seconds of the fastest of several rounds."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def main(paths: list[str]) -> None:
    print("| file | GB | tokens | open and list | tokenizer |")
    print("|---|---|---|---|---|")
    for path in map(Path, paths):
        file = GGUF.open(path)
        opening = best_of(lambda path=path: list(GGUF.open(path).metadata.items()))
        building = best_of(lambda path=path: build_tokenizer(GGUF.open(path).metadata))
        tokens = build_tokenizer(file.metadata).vocab_size
        size = f"{file.file_bytes / 1e9:.2f}"
        print(f"| {path.name} | {size} | {tokens} | {opening:.3f} s | {building:.2f} s |")


if __name__ == "__main__":
    main(sys.argv[1:])
