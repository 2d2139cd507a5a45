"""What a card should reach in decode, by a model of its time: no card is needed, and none is asked.

    python benchmarks/parts/gpu_model.py FILE... [--depth 512] [--node 3]

A token takes as long as its bytes (weights and cache) at the card's copy bandwidth, 90 % of the
data sheet's, and --node microseconds for each kernel of the graph: its start, its ramp and its tail
(others measured 1.3 us between kernels of a graph, and 2.5 to 4 us for small ones as a whole).
"""

import argparse
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path

import numpy as np

from lepton_cli.engine.loading import plan as loading
from ops.cuda.device.device import Code, Launch, Memory
from ops.cuda.lowering.records import Counts
from ops.cuda.runner import CudaRunner
from ops.interface import BLOCK, Step
from ops.memory_plan import Limits
from quant.gguf import GGUF

CARDS = {  # GB/s of the data sheet
    "RTX 3060": 360,
    "RTX 3090": 936,
    "RTX 4090": 1008,
    "RTX 5090": 1792,
    "A100 80 GB": 2039,
    "H100 SXM": 3350,
    "H200": 4800,
}
ATTAINED = 0.9  # of it, by copying


class NoCard:
    """A stub that accepts every call."""

    name, capability = "none", (8, 9)

    def __init__(self) -> None:
        self._addresses = count(1 << 32, 1 << 40)

    def memory(self) -> tuple[int, int]:
        return 1 << 40, 1 << 40

    def allocate(self, size: int) -> int:
        return next(self._addresses)

    def free(self, address: int) -> None: ...
    def clear(self, address: int, size: int) -> None: ...
    def upload(self, address: int, source: Memory) -> None: ...
    def download(self, address: int, target: Memory) -> None: ...
    def copy(self, source: int, target: int, size: int) -> None: ...
    def load(self, name: str, code: Code) -> None: ...
    def launch(self, launch: Launch) -> None: ...
    def synchronize(self) -> None: ...
    def close(self) -> None: ...
    def prepare(self, names: Iterable[str]) -> None: ...


def token_work(path: Path, depth: int) -> tuple[int, int]:
    """Bytes and kernels per token at a depth."""
    file = GGUF.open(path)
    program, card = loading.build(file, depth + 1), NoCard()
    runner = CudaRunner(card, program, ("f16", "f16"), Limits(1, 1), card)
    position = np.array([depth], np.int32)
    step = Step(position, position, np.zeros(1, np.int32))
    read = sum(operation.costs(step, runner.pool.layout).bytes for operation in runner.operations)
    blocks = 1 << (depth // BLOCK).bit_length()
    return read, len(runner.launches(Counts(1, 1, blocks, True)))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--depth", type=int, default=512)
    parser.add_argument("--node", type=float, default=3.0, help="microseconds a kernel")
    options = parser.parse_args(arguments)
    print(f"| model | GB a token | kernels | {' | '.join(CARDS)} |")
    print("|---|---:|---:|" + "---:|" * len(CARDS))
    for path in options.files:
        read, kernels = token_work(path, options.depth)
        cells = []
        for bandwidth in CARDS.values():
            copied = read / (bandwidth * 1e9 * ATTAINED)
            seconds = copied + kernels * options.node * 1e-6
            cells.append(f"{1 / seconds:.0f} t/s, {copied / seconds:.0%}")
        print(f"| {path.stem} | {read / 1e9:.2f} | {kernels} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
