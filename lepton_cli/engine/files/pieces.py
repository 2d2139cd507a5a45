"""Tensors in pieces, so that a file larger than memory is read in little memory on all cores."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from ops.machine import default_threads
from quant.bits import Bytes
from quant.gguf import Tensor

PIECE = 1 << 20
"""Weights of a piece: 4 MB as floats, of which each thread holds a few."""

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]
"""Called with the bytes that are done, and those of the whole."""


class Piece(NamedTuple):
    """A run of a tensor's blocks. `start`: in bytes from the beginning of the tensor's data."""

    tensor: Tensor
    start: int
    data: Bytes  # (bytes,)

    @property
    def first_weight(self) -> int:
        """The number, in the tensor, of the piece's first weight."""
        kind = self.tensor.format
        return self.start // kind.block_bytes * kind.block_size


def no_progress(done: int, whole: int) -> None:
    """For callers without a screen."""


def pieces_of(tensor: Tensor) -> Iterator[Piece]:
    kind, flat = tensor.format, tensor.data.reshape(-1)
    step = PIECE // kind.block_size * kind.block_bytes
    for start in range(0, flat.size, step):
        yield Piece(tensor, start, flat[start : start + step])


def on_all_cores(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """The results in the items' order; few items are taken before their results are.

    Ends soon when its reader stops, as on Ctrl-C: work that has not begun is dropped.
    """
    threads = default_threads().count
    pool = ThreadPoolExecutor(threads, "lepton-files")
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
