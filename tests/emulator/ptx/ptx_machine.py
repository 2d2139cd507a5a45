"""Runs PTX: what the compiler made of a kernel, thread by thread, on an emulated card's memory.

Threads of many blocks are one vector. Those that are furthest behind go on; before a warp's word
a thread waits for its warp, at a barrier for its block. Or `falling`: the last warp goes first, as
far as the next barrier, so that a barrier that is missing shows.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy import ndarray
from ptx_code import PLACES, SHARED, Coder
from ptx_meanings import DTYPES, WARP
from ptx_rounding import EXACT, Rounding
from ptx_source import Piece, read

from ops.cuda.device.device import Launch

TOGETHER = 4096  # threads
ENDED = np.iinfo(np.int32).max
BASE = 1024  # of shared memory


class Machine:
    """A kernel's PTX, ready to be run."""

    def __init__(self, ptx: str, rounding: Rounding = EXACT) -> None:
        self.source = read(ptx)
        self._slots = {name: slot for slot, name in enumerate(self.source.registers)}
        coder = Coder(self.source, self._slots, rounding)
        self._codes = [coder.codes(piece) for piece in self.source.pieces]
        barriers = [piece.meets == "block" for piece in self.source.pieces]
        self._resting = np.array([*barriers, True])  # the last one: ended

    def run(self, launch: Launch, memory: Any, *, falling: bool = False) -> None:
        """`memory`: a Memory, or what has its `data` and `at`."""
        wide, high, deep = launch.grid
        places = [(x, y, z) for z, y, x in product(range(deep), range(high), range(wide))]
        step = max(1, TOGETHER // launch.threads)
        with np.errstate(all="ignore"):
            for start in range(0, len(places), step):
                state = _State(self, launch, memory, places[start : start + step])
                self._run(state, falling=falling)

    def _run(self, state: "_State", *, falling: bool) -> None:
        while (behind := int(state.places.min())) != ENDED:
            at, mask = self._ready_of_last(state) if falling else self._ready(state, behind)
            plain, masked = self._codes[at]
            if mask.all():
                plain(state, state.registers)
            else:
                masked(state, state.registers, mask)
            self._go_on(state, at, self.source.pieces[at], mask)

    def _ready(self, state: "_State", behind: int) -> tuple[int, ndarray]:
        """A piece, and the threads at it that wait for nobody."""
        mask = state.places == behind
        if not self.source.pieces[behind].meets:
            return behind, mask
        for at in np.unique(state.places).tolist():
            if at == ENDED:
                break
            mask, meets = state.places == at, self.source.pieces[at].meets
            if not meets:
                return at, mask
            size = WARP if meets == "warp" else state.launch.threads
            together = mask.reshape(-1, size).all(1)
            if together.any():
                return at, np.repeat(together, size)
        raise AssertionError("threads wait for others that will not come")

    def _ready_of_last(self, state: "_State") -> tuple[int, ndarray]:
        """The same among the last warps that do not rest at a barrier."""
        running = ~self._resting[np.minimum(state.places, len(self._codes))]
        if not running.any():
            return self._ready(state, int(state.places.min()))
        mine = running & (state.warps == state.warps[running].max())
        for at in np.unique(state.places[mine]).tolist():
            mask = mine & (state.places == at)
            if not self.source.pieces[at].meets:
                return at, mask
            together = mask.reshape(-1, WARP).all(1)
            if together.any():
                return at, np.repeat(together, WARP)
        raise AssertionError("threads of a warp wait for others that will not come")

    def _go_on(self, state: "_State", at: int, piece: Piece, mask: ndarray) -> None:
        branch, target = piece.branch, at + 1
        if branch and branch.opcode == "ret":
            target = ENDED
        elif branch:
            target = self.source.labels[str(branch.operands[0])]
        if branch and branch.guard:
            taken = state.registers[self._slots[branch.guard.lstrip("!")]]
            taken = ~taken if branch.guard[0] == "!" else taken
            state.places[mask & ~taken] = at + 1
            mask = mask & taken
        state.places[mask] = target

    @property
    def opcodes(self) -> set[str]:
        return {one.opcode for piece in self.source.pieces for one in piece.statements}


class _State:
    """Some blocks while they run: registers, shared memory, and the piece each thread is at."""

    def __init__(
        self, machine: Machine, launch: Launch, memory: Any, blocks: Sequence[tuple[int, ...]]
    ) -> None:
        self.launch, self.memory = launch, memory
        self.threads = len(blocks) * launch.threads
        self.places = np.zeros(self.threads, np.int32)
        spread = np.repeat(np.array(blocks, np.uint32), launch.threads, 0).T.copy()
        every = np.tile(np.arange(launch.threads, dtype=np.uint32), len(blocks))
        sizes = [np.full(self.threads, one, np.uint32) for one in (launch.threads, launch.grid[0])]
        self.special = dict(zip(PLACES, [every, *spread, *sizes], strict=True))
        self.special[SHARED] = np.full(self.threads, BASE, np.uint32)
        self.warps = every // WARP
        kinds = machine.source.registers.values()
        self.registers = [_garbage(DTYPES[kind], self.threads) for kind in kinds]
        self._stride = -(-max(launch.shared, 1) // 16) * 16
        self._shared = np.full(self._stride * len(blocks), 0xA5, np.uint8)
        self._offsets = np.repeat(np.arange(len(blocks)) * self._stride, launch.threads)
        self.parameters = dict(zip(machine.source.parameters, launch.operands, strict=True))

    def parameter(self, name: str, kind: str) -> ndarray:
        return np.full(self.threads, self.parameters[name], DTYPES[kind])

    def load(self, space: str, kind: str, count: int, address: ndarray, mask: Any) -> Any:
        if mask is not None:  # idle threads do as one that runs
            address = np.where(mask, address, address[mask.argmax()])
        data, at = self._find(space, address, DTYPES[kind]().itemsize * count, slice(None))
        view = data.view(DTYPES[kind]).reshape(-1, count)
        return tuple(np.ascontiguousarray(view.take(at, 0).T))

    def store(self, space: str, kind: str, address: ndarray, values: Any, mask: Any) -> None:
        chosen = slice(None) if mask is None else mask
        rows = np.stack([value[chosen] for value in values], 1)
        data, at = self._find(space, address[chosen], rows.itemsize * rows.shape[1], chosen)
        view = data.view(rows.dtype).reshape(-1, rows.shape[1])
        view[at] = rows
        bits = f"u{rows.itemsize}"
        same = np.array_equal(view.take(at, 0).view(bits), rows.view(bits))
        assert same, "threads store different values at one place at once"

    def _find(self, space: str, address: ndarray, size: int, chosen: Any) -> tuple[ndarray, Any]:
        address = address.astype(np.int64)
        if space == "global":
            return self.memory.data, self.memory.at(address, size) // size
        address = address - BASE
        assert not (address % size).any(), f"shared memory: not aligned to {size}"
        last = self.launch.shared - size
        assert address.min() >= 0 and address.max() <= last, f"shared memory: {address.max()}"
        return self._shared, (self._offsets[chosen] + address) // size


def _garbage(dtype: Any, count: int) -> ndarray:
    if dtype is np.bool_:
        return np.ones(count, dtype)
    return np.full(count * np.dtype(dtype).itemsize, 0xA5, np.uint8).view(dtype)
