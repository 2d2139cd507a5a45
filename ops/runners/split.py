"""A model on two devices: the first layers on the CPU, the others on a card.

Each pass hands its activations over once. A block of the KV cache has a part on each device.
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ops.cpu.runner import CpuRunner
from ops.cuda.runner import CudaRunner
from ops.interface import Step, Weight
from ops.logits import Logits
from ops.memory_plan import Limits
from ops.profile import OperatorTime
from ops.state.blocks import Block, BlockPool
from ops.state.layout import StateLayout
from ops.state.sequence import SequenceState, reserve
from quant.errors import UsageError


@dataclass(frozen=True, slots=True)
class SplitLayout(StateLayout):
    """The layout of all layers; `block_bytes` is the sum over both devices (`sizes`)."""

    sizes: tuple[int, int] = (0, 0)

    @property
    def block_bytes(self) -> int:
        return sum(self.sizes)


class SplitPool(BlockPool):
    """A pool of blocks, each of which consists of one block from each device's pool."""

    def __init__(self, layout: SplitLayout, pools: tuple[BlockPool, BlockPool]) -> None:
        super().__init__(layout)
        self._pools = pools

    def clear(self) -> None:
        for parts in self._spare:
            for pool, part in zip(self._pools, parts, strict=True):
                pool.give_back(part)
        super().clear()
        for pool in self._pools:
            pool.clear()

    def copy(self, source: Block, target: Block) -> None:
        for pool, one, other in zip(self._pools, source.memory, target.memory, strict=True):
            pool.copy(one, other)

    def read(self, block: Block) -> NDArray[np.uint8]:
        parts = zip(self._pools, block.memory, strict=True)
        return np.concatenate([pool.read(part) for pool, part in parts])

    def write(self, block: Block, held: NDArray[np.uint8]) -> None:
        start = 0
        for pool, part in zip(self._pools, block.memory, strict=True):
            size = pool.layout.block_bytes
            pool.write(part, held[start : start + size])
            start += size

    def part(self, state: SequenceState, device: int) -> SequenceState:
        """The part of a sequence's state that is on one device."""
        own = SequenceState(self._pools[device])
        own.blocks = [block.memory[device] for block in state.blocks]
        return own

    def _allocate(self) -> Any:
        first = self._pools[0].take()
        try:
            return first, self._pools[1].take()
        except BaseException:
            self._pools[0].give_back(first)
            raise


class SplitRunner:
    """Runs the first part of a program on the CPU, then the second on the card."""

    def __init__(self, first: CpuRunner, second: CudaRunner) -> None:
        layouts = first.pool.layout, second.pool.layout
        pages = layouts[0].pages + layouts[1].pages
        sizes = layouts[0].block_bytes, layouts[1].block_bytes
        whole = SplitLayout(pages, k=layouts[0].k, v=layouts[0].v, sizes=sizes)
        self.pool = SplitPool(whole, (first.pool, second.pool))
        self._first, self._second = first, second
        self.digest = first.digest + second.digest

    @property
    def limits(self) -> Limits:
        return self._first.limits

    def run(  # (O, V)
        self, step: Step, states: Sequence[SequenceState], interrupt: threading.Event | None = None
    ) -> Logits:
        """Raises Interrupted, OutOfMemoryError, LeptonError."""
        reserve(step, states)
        parts = [[self.pool.part(state, device) for state in states] for device in range(2)]
        crossing = np.asarray(self._first.run(step, parts[0], interrupt))
        return self._second.run(replace(step, given=(crossing,)), parts[1], interrupt)

    def profile(self, step: Step, states: Sequence[SequenceState]) -> list[OperatorTime]:
        """Raises UsageError: times of two devices do not add up to the time of a pass."""
        message = "a model on both the CPU and a GPU has no profile"
        raise UsageError(message, "use --backend cpu, or -ngl all")

    def room(self) -> int:
        """How many more blocks of KV cache fit into both devices' memory."""
        return min(self._first.room(), self._second.room())

    def reread(self, vectors: Iterable[Weight]) -> None:
        self._first.reread(vectors)
        self._second.reread(vectors)

    def close(self) -> None:
        self.pool.clear()
        self._first.close()
        self._second.close()
