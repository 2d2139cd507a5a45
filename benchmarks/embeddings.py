"""Vectors of many texts, Lepton and llama.cpp in turn: texts per second of CPU time.

    python benchmarks/shapes.py bge-small bge.gguf --type Q8_0
    python benchmarks/embeddings.py bge.gguf --python ~/llama/bin/python

Both read the same random token ids and run as many texts together as fill a pass. CPU time counts,
of one thread, so that other programs change little. The cosines of both sides' vectors are told.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
from peer import UBATCH, LlamaProcess, PeerError, build_of

from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.model import Model, open_model
from ops.machine import cpu_name

Texts = Sequence[Sequence[int]]
COMPARED = 16  # vectors
MOST_TOGETHER = 64  # texts, so many sequences llama.cpp has at most


def random_texts(model: Model, count: int, tokens: int) -> list[list[int]]:
    """Between the tokens that the model puts around every text; lengths vary by a fifth."""
    random, size = Random(0), model.vocabulary_size
    first, last = model.tokenizer.bos or 0, model.tokenizer.eos or 0
    lengths = [random.randint(tokens * 9 // 10, tokens * 11 // 10) - 2 for _ in range(count)]
    return [[first, *(random.randrange(size) for _ in range(n)), last] for n in lengths]


def ours(model: Model, texts: Texts) -> float:
    begin = time.process_time()
    model.embed(texts, normalize=False)
    return time.process_time() - begin


def theirs(peer: LlamaProcess, texts: Texts) -> float:
    return float(peer.answer({"texts": texts, "vectors": 0})["seconds"])


def cosines(model: Model, peer: LlamaProcess, texts: Texts) -> np.ndarray:
    """Of the first texts' vectors by both sides."""
    few = texts[:COMPARED]
    mine = model.embed(few).astype(np.float64)
    other = np.array(peer.answer({"texts": few, "vectors": len(few)})["vectors"])
    found: np.ndarray = (mine * other).sum(1) / np.linalg.norm(other, axis=1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--python", default=sys.executable, help="that has llama-cpp-python")
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--tokens", type=int, default=100, help="of a text, on average")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(f"{cpu_name()}, 1 thread, {given.texts} texts of {given.tokens} tokens on average")
    print(build_of(given.python))
    print("\n| model | llama.cpp | Lepton | ratio | of the rounds | least cosine |")
    print("|---|---:|---:|---:|---|---:|")
    for path in given.models:
        print(row_of(path, given), flush=True)


def row_of(path: Path, given: argparse.Namespace) -> str:
    """A row of the table. Raises PeerError."""
    options = LoadOptions("cpu", threads=1, ubatch=UBATCH, pooling="file")
    together = ["--sequences", str(MOST_TOGETHER)]
    with (
        LlamaProcess(given.python, "embed", path, 1, UBATCH, *together) as peer,
        open_model(path, options) as model,
    ):
        texts = random_texts(model, given.texts, given.tokens)
        least = cosines(model, peer, texts).min()  # and warms up
        sides = [(theirs(peer, texts), ours(model, texts)) for _ in range(given.rounds)]
    ratios = [left / right for left, right in sides]
    left, right = (given.texts / statistics.median(side) for side in zip(*sides, strict=True))
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    ratio = f"{statistics.median(ratios):.2f}x"
    return f"| {path.name} | {left:.1f} | {right:.1f} | {ratio} | {spread} | {least:.7f} |"


if __name__ == "__main__":
    try:
        main()
    except PeerError as error:
        raise SystemExit(str(error)) from error
