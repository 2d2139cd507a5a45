"""Rotary positions, the KV cache, and attention over it."""

from dataclasses import dataclass, field

import numpy as np

from ops.interface import Heads, Linear, Rope, Step, Weight
from ops.operations.base import (
    READ,
    VECTOR,
    WRITTEN,
    Buffer,
    Cost,
    Operation,
    Pages,
    PositionBytes,
)


@dataclass(frozen=True, slots=True, eq=False)
class Rotate(Operation):
    """Rotary positions; `angles` is the table that `Angles` writes."""

    x: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    rope: Rope
    angles: Buffer | None = field(default=None, metadata=READ)


@dataclass(frozen=True, slots=True, eq=False)
class Angles(Operation):
    """Cosines and sines of the step's positions, once for all layers."""

    y: Buffer = field(metadata=WRITTEN)
    rope: Rope


@dataclass(frozen=True, slots=True, eq=False)
class Store(Operation):
    """Keys and values go to the cache."""

    k: Buffer = field(metadata=READ)
    v: Buffer = field(metadata=READ)
    heads: Heads

    @property
    def state(self) -> Pages:
        return pages_of(self.heads)


@dataclass(frozen=True, slots=True, eq=False)
class Attention(Operation):
    """What the cache holds, seen from q. `quantized` is y in blocks of 32."""

    q: Buffer = field(metadata=READ)
    y: Buffer = field(metadata=WRITTEN)
    heads: Heads
    sinks: Weight | None = field(default=None, metadata=VECTOR)
    quantized: Buffer | None = field(default=None, metadata=WRITTEN)
    further: Heads | None = None
    biases: Weight | None = field(default=None, metadata=VECTOR)

    @property
    def reads_state(self) -> bool:
        return True

    def costs(self, step: Step, cache: PositionBytes) -> Cost:
        """Positions that several tokens of a sequence see are read once."""
        ends, total = step.ends(), Cost()
        if self.q.rows == "outputs":
            step, ends = step.of_outputs(), ends[step.outputs]
        for heads in (self.heads, self.further) if self.further else (self.heads,):
            firsts, stops = heads.visible(step.positions.astype(np.int64), ends.astype(np.int64))
            read = sum(int(stops[run].max() - firsts[run].min()) for run in step.runs())
            seen = int((stops - firsts).sum()) // heads.stride
            macs = seen * heads.query_heads * (heads.head_width + heads.values)
            total += Cost(read // heads.stride * cache.position_bytes(heads.layer), macs)
        return total


@dataclass(frozen=True, slots=True, eq=False)
class NormRopeStore(Operation):
    """All that stands between the products of q, k, v and attention: head norms, rope, cache.

    `y` is q afterwards; both are None where q has other rows, and enters attention by itself.
    `rotates_q`: q turns as k does; without `angles` neither turns.
    """

    q: Buffer | None = field(metadata=READ)
    k: Buffer = field(metadata=READ)
    v: Buffer = field(metadata=READ)
    y: Buffer | None = field(metadata=WRITTEN)
    heads: Heads
    q_norm: Linear | None = field(default=None, metadata=VECTOR)
    k_norm: Linear | None = field(default=None, metadata=VECTOR)
    eps: float = 0.0
    rope: Rope | None = None
    angles: Buffer | None = field(default=None, metadata=READ)
    rotates_q: bool = False

    @property
    def state(self) -> Pages:
        return pages_of(self.heads)


def pages_of(heads: Heads) -> Pages:
    """What a layer's attention keeps."""
    return Pages(heads.layer, heads.kv_heads, heads.key_columns, heads.values, heads.window)
