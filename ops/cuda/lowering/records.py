"""The step record: a step's arrays as they are laid out on the card, and its sizes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ops.cuda.lowering.attending import TileShape, tiles
from ops.interface import BLOCK, Step
from ops.operations.base import Buffer

TILE_BYTES = 16


@dataclass(frozen=True, slots=True)
class Counts:
    """A step's sizes. Launches depend on nothing else, so equal counts share them.

    `blocks` are those of the longest sequence, rounded up to a power of two; kernels skip
    those beyond a token's position. `alone`: all tokens are of one sequence.
    """

    tokens: int
    outputs: int
    blocks: int
    alone: bool

    @classmethod
    def of(cls, step: Step) -> "Counts":
        blocks = int(step.positions.max()) // BLOCK + 1
        return cls(
            len(step.tokens),
            len(step.outputs),
            1 << (blocks - 1).bit_length(),
            len(step.starts) == 1,
        )

    def tiles(self, shape: TileShape) -> int:
        """The most tiles of queries; the exact number if all tokens are of one sequence."""
        size, parts = shape
        return -(-self.tokens // size if self.alone else -self.tokens) * parts

    def rows(self, buffer: Buffer) -> int:
        """Rows of a buffer in this step."""
        of_step = {"tokens": self.tokens, "outputs": self.outputs, "step": 1}
        return of_step[buffer.rows] * buffer.multiple


@dataclass(frozen=True, slots=True)
class RecordAddresses:
    """Addresses of the step's arrays, consecutive from `base`.

    | tiles of queries, for each of their shapes, int32 | address of each token's table, int64 |
    | ids | positions | wanted outputs, int32 | tables |
    """

    base: int
    counts: Counts
    shapes: tuple[TileShape, ...]

    def tiles(self, shape: TileShape) -> int:
        before = self.shapes[: self.shapes.index(shape)]
        return self.base + TILE_BYTES * sum(map(self.counts.tiles, before))

    @property
    def tables(self) -> int:
        return self.base + TILE_BYTES * sum(map(self.counts.tiles, self.shapes))

    @property
    def ids(self) -> int:
        return self.tables + 8 * self.counts.tokens

    @property
    def positions(self) -> int:
        return self.ids + 4 * self.counts.tokens

    @property
    def outputs(self) -> int:
        return self.positions + 4 * self.counts.tokens

    @property
    def end(self) -> int:
        """The address of the sequences' block tables."""
        return -(-(self.outputs + 4 * self.counts.outputs) // 8) * 8


def packed_record(
    step: Step, places: RecordAddresses, tables: Sequence[NDArray[np.int64]]
) -> NDArray[np.uint8]:
    """The bytes that `places` describes."""
    starts = np.cumsum([0, *map(len, tables)])[:-1]
    lengths = np.diff([*step.starts, len(step.tokens)])
    of_tokens = np.repeat(places.end + 8 * starts, lengths)  # (T,) each token's table
    whole = np.zeros(places.end - places.base + 8 * sum(map(len, tables)), np.uint8)
    tiles = [(places.tiles(shape), _tiles(step, places.counts, shape)) for shape in places.shapes]
    parts: list[tuple[int, NDArray[Any]]] = [
        *tiles,
        (places.tables, of_tokens.astype(np.int64)),
        (places.ids, step.tokens),
        (places.positions, step.positions),
        (places.outputs, step.outputs),
        (places.end, np.concatenate([np.empty(0, np.int64), *tables])),
    ]
    for at, values in parts:
        start = at - places.base
        whole[start : start + values.nbytes] = values.reshape(-1).view(np.uint8)
    return whole


def _tiles(step: Step, counts: Counts, shape: TileShape) -> NDArray[np.int32]:  # (tiles, 4)
    return tiles(shape, step.starts, counts.tokens, counts.tiles(shape))
