"""The gain of the prompt cache on disk: whole `lepton run` processes, to their first token.

python benchmarks/parts/prefixes.py FILE...

The same text of some 1000 and 4000 tokens with the cache off, with an empty one, which the run
fills, and with the question changed. The cache is a folder of the benchmark's own.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from lepton_cli.engine.library.paths import cache_folder
from lepton_cli.engine.model import load_tokenizer

TOKENS = (1000, 4000)
WORDS = ("river", "stone", "light", "morning", "garden", "window", "letter", "winter", "market")
RUN = (sys.executable, "-m", "lepton_cli", "run")
HOW = ("-n", "1", "--temp", "0", "--raw", "--no-stdin", "-c", "8192")


def text_of(tokens: int, model: Path) -> str:
    random, tokenizer = Random(0), load_tokenizer(model)
    return tokenizer.decode(
        tokenizer.encode(" ".join(random.choices(WORDS, k=2 * tokens)))[:tokens]
    )


def seconds(model: Path, text: Path, question: str, cache: Path, *how: str) -> float:
    """An environment with a separate prompt cache but the same compiled kernels."""
    kernels, mine = cache_folder() / "kernels", cache / "lepton" / "kernels"
    if not mine.exists():
        mine.parent.mkdir(parents=True)
        mine.symlink_to(kernels, target_is_directory=True)
    start = time.perf_counter()
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    words = [*RUN, str(model), "-f", str(text), *HOW, *how, question]
    subprocess.run(words, check=True, capture_output=True, env=environment)
    return time.perf_counter() - start


def main(paths: list[str]) -> None:
    print("| file | tokens | off | first run | same prompt | other question |")
    print("|---|---|---|---|---|---|")
    for model in map(Path, paths):
        for tokens in TOKENS:
            with tempfile.TemporaryDirectory() as folder:
                text, cache = Path(folder, "text.txt"), Path(folder, "cache")
                text.write_text(text_of(tokens, model), encoding="utf-8")
                off = seconds(model, text, "Why?", cache, "--prefix-cache", "0")
                first, same = (seconds(model, text, "Why?", cache) for _ in range(2))
                other = seconds(model, text, "And then?", cache)
            times = " | ".join(f"{took:.2f} s" for took in (off, first, same, other))
            print(f"| {model.name} | {tokens} | {times} |")


if __name__ == "__main__":
    main(sys.argv[1:])
