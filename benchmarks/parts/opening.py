"""CPU time to open and list model files, to build their tokenizers, and of those for 1 MB of text,
for docs/performance.md.

python benchmarks/parts/opening.py FILE...
"""

import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

from lepton_cli.engine.text.tokenizer import build_tokenizer
from quant.gguf import GGUF, Metadata

ROUNDS, SIZE = 5, 1_000_000
ROOT = Path(__file__).resolve().parents[2]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
LONG = " ".join(map("".join, product(LETTERS, repeat=3)))  # after it the whole vocabulary is in use


def best_of(action: Callable[[], object]) -> float:
    """The CPU seconds of the fastest of several rounds."""
    times = []
    for _ in range(ROUNDS):
        start = time.thread_time()
        action()
        times.append(time.thread_time() - start)
    return min(times)


def text_time(metadata: Metadata, text: str) -> float:
    """The CPU seconds of the fastest of new tokenizers, which have read nothing of the text."""
    tokenizers = [build_tokenizer(metadata) for _ in range(ROUNDS)]
    for tokenizer in tokenizers:
        tokenizer.encode(LONG)
    return best_of(lambda: tokenizers.pop().encode(text))


def sources() -> str:
    """1 MB of this program and its documentation."""
    files = [*sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("lepton_cli/**/*.py"))]
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    return text.encode()[:SIZE].decode(errors="ignore")


def main(paths: list[str]) -> None:
    print("| file | GB | tokens | open and list | tokenizer | 1 MB of text | of one letter |")
    print("|---|---|---|---|---|---|---|")
    text = sources()
    for path in map(Path, paths):
        file = GGUF.open(path)
        opening = best_of(lambda path=path: list(GGUF.open(path).metadata.items()))
        building = best_of(lambda path=path: build_tokenizer(GGUF.open(path).metadata))
        tokens = build_tokenizer(file.metadata).vocab_size
        size = f"{file.file_bytes / 1e9:.2f}"
        texts = [text_time(file.metadata, given) for given in (text, "a" * SIZE)]
        seconds = " | ".join(f"{each:.2f} s" for each in texts)
        print(
            f"| {path.name} | {size} | {tokens} | {opening:.3f} s | {building:.2f} s | {seconds} |"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
