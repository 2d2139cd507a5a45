"""A model on two devices: the first layers on the CPU, the last on a card; one hand-over a pass.

A block of the KV cache has a part on each.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ops.cache import Block, BlockPool, CacheLayout, KVCache, reserve
from ops.cpu.runner import CpuRunner
from ops.cuda.runner import CudaRunner
from ops.interface import Heads, Step
from ops.memory_plan import Limits
from ops.profile import OperatorTime
from ops.rows import Logits
from quant.errors import UsageError


def halves(layers: tuple[Heads, ...], first: int) -> tuple[tuple[Heads, ...], tuple[Heads, ...]]:
    """The layers before `first` and from there on; the others are there, but hold nothing."""
    return (
        tuple(replace(one, kv_heads=one.kv_heads * (one.layer < first)) for one in layers),
        tuple(replace(one, kv_heads=one.kv_heads * (one.layer >= first)) for one in layers),
    )


@dataclass(frozen=True, slots=True)
class SplitLayout(CacheLayout):
    """Of all layers; what a block takes on both devices together."""

    sizes: tuple[int, int] = (0, 0)

    @property
    def block_bytes(self) -> int:
        return sum(self.sizes)


class SplitPool(BlockPool):
    """Its blocks have a block of each device's pool as their memory."""

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

    def part(self, cache: KVCache, device: int) -> KVCache:
        """What one device has of a sequence's cache."""
        own = KVCache(self._pools[device])
        own.blocks = [block.memory[device] for block in cache.blocks]
        return own

    def _allocate(self) -> Any:
        first = self._pools[0].take()
        try:
            return first, self._pools[1].take()
        except BaseException:
            self._pools[0].give_back(first)
            raise


class SplitRunner:
    """Two runners one behind the other."""

    def __init__(self, layout: CacheLayout, first: CpuRunner, second: CudaRunner) -> None:
        """`layout` is of all layers."""
        sizes = first.pool.layout.block_bytes, second.pool.layout.block_bytes
        whole = SplitLayout(layout.layers, layout.k, layout.v, sizes)
        self.pool = SplitPool(whole, (first.pool, second.pool))
        self._first, self._second = first, second

    @property
    def limits(self) -> Limits:
        return self._first.limits

    def run(  # (O, V)
        self, step: Step, caches: Sequence[KVCache], interrupt: threading.Event | None = None
    ) -> Logits:
        """Raises Interrupted, OutOfMemoryError, LeptonError."""
        reserve(step, caches)
        parts = [[self.pool.part(cache, device) for cache in caches] for device in range(2)]
        crossing = self._first.run(step, parts[0], interrupt)
        return self._second.run(step, parts[1], interrupt, [crossing])

    def profile(self, step: Step, caches: Sequence[KVCache]) -> list[OperatorTime]:
        """Raises UsageError: the two clocks would not add up to a pass."""
        message = "a model on both the CPU and a GPU has no profile"
        raise UsageError(message, "use --backend cpu, or -ngl all")

    def room(self) -> int:
        """How many more blocks of cache both devices have room for."""
        return min(self._first.room(), self._second.room())

    def close(self) -> None:
        self.pool.clear()
        self._first.close()
        self._second.close()
