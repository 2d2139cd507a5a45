"""Runs a kernel's blocks on an emulated card: many together, their warps one after the other.

Lanes of up to 64 blocks go through the source as one vector, the same warp of each: blocks share
nothing. The warps of a block run one after the other up to a barrier, each a greenlet.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from types import CellType, FunctionType
from typing import Any

import greenlet
import numpy as np
from emulator_intrinsics import FUNCTIONS, INTRINSICS, Local, as_int, as_single
from emulator_lanes import WARP, now, running_warps
from emulator_memory import Memory, Shared, touching
from emulator_races import Watch
from emulator_source import HELPERS, REPLACED, rewritten

from ops.cuda.device.device import Launch
from ops.cuda.kernels.intrinsics.binding import Binder, Symbol
from ops.cuda.kernels.intrinsics.primitives import Cast, Intrinsic

TOGETHER = 64  # blocks


class Warp(greenlet.greenlet):
    """The same warp of some blocks."""

    place = 0
    thread_x: Any = None
    met: Any = None  # which blocks' warps wait at a barrier, (blocks,); None: nothing ran yet

    def take_over(self, mask: Any) -> None:
        now.mask, now.warp, now.thread_x = mask, self.place, self.thread_x


def barrier() -> None:
    warp, mask = greenlet.getcurrent(), now.mask
    assert isinstance(warp, Warp)
    warp.met = running_warps(mask)
    warp.parent.switch()
    warp.take_over(mask)


def run_blocks(
    function: Callable[..., None],
    operands: Sequence[Any],
    launch: Launch,
    memory: Memory,
    *,
    falling: bool,
    races: bool,
) -> None:
    if races:
        memory.watch = memory.watch or Watch(len(memory.data))
        memory.watch.forget()
    for places in _batches(launch.grid):
        set_up(places, launch)
        now.memory, now.shared.watch = memory, Watch(len(now.shared.data)) if races else None
        warps = []
        for place in range(launch.threads // WARP):
            warp = Warp(_quietly)
            warp.place, warp.thread_x = place, now.lane + WARP * place
            warps.append(warp)
        _run_warps(warps[::-1] if falling else warps, function, operands)
    now.memory = now.shared = None


def set_up(places: Sequence[tuple[int, int, int]], launch: Launch) -> None:
    """For so many blocks, before any of their warps runs."""
    blocks = len(places)
    now.lanes, now.threads, now.grid = blocks * WARP, launch.threads, launch.grid
    now.lane = np.tile(np.arange(WARP), blocks)
    now.firsts = np.repeat(np.arange(blocks) * WARP, WARP)
    now.block = tuple(_spread(one) for one in zip(*places, strict=True))
    now.shared = Shared(launch.shared, blocks)
    wide, high, _ = launch.grid
    now.number = np.array([x + wide * (y + high * z) for x, y, z in places])
    now.barriers = np.zeros(blocks, np.int64)


def _batches(grid: tuple[int, int, int]) -> Iterator[list[tuple[int, int, int]]]:
    places = [(x, y, z) for z, y, x in product(*map(range, reversed(grid)))]
    for start in range(0, len(places), TOGETHER):
        yield places[start : start + TOGETHER]


def _spread(places: Sequence[int]) -> Any:
    """One coordinate of each lane's block."""
    if len(set(places)) == 1:
        return places[0]
    return np.repeat(np.array(places), WARP)


def _quietly(function: Callable[..., None], operands: Sequence[Any]) -> None:
    with np.errstate(all="ignore"):  # a greenlet has a state of its own
        function(*operands)


def _run_warps(warps: list[Warp], function: Callable[..., None], operands: Sequence[Any]) -> None:
    begin: tuple[Any, ...] = (function, operands)
    while True:
        for warp in warps:
            if begin:
                warp.take_over(None)
            warp.met = None
            warp.switch(*begin)
        begin = ()
        met = [warp.met for warp in warps]
        if all(one is None for one in met):
            return
        same = all(one is not None and np.array_equal(one, met[0]) for one in met)
        assert same, "some warps ended before a barrier, others did not"
        now.barriers += met[0]


# --- binding


class VectorBinder(Binder):
    """Words at their meaning to a vector, functions rewritten."""

    def __init__(self) -> None:
        super().__init__(_translated, lambda function: function)
        self._codes: dict[Any, Any] = {}

    def bind(self, function: FunctionType) -> FunctionType:
        source = function.__code__
        if source not in self._codes:
            self._codes[source] = rewritten(function)
        code = self._codes[source]
        scope = {"__name__": function.__module__, "__builtins__": __builtins__, "_now": now}
        scope |= HELPERS | REPLACED
        scope |= {
            name: self._value(function.__globals__[name])
            for name in source.co_names
            if name in function.__globals__
        }
        cells = dict(zip(source.co_freevars, function.__closure__ or (), strict=True))
        closure = tuple(
            CellType(self._value(cells[name].cell_contents)) for name in code.co_freevars
        )
        return FunctionType(code, scope, function.__name__, function.__defaults__, closure)

    def _value(self, value: Any) -> Any:
        if isinstance(value, FunctionType) and value in FUNCTIONS:
            return FUNCTIONS[value]
        return super()._value(value)


def _translated(instruction: Symbol) -> Any:
    if isinstance(instruction, Cast):
        return as_int if instruction.letter == "i" else as_single
    if not isinstance(instruction, Intrinsic):
        return Local
    if instruction.kind == "barrier":
        return barrier
    if instruction.touches:
        return touching(instruction)
    assert instruction.name in INTRINSICS, (
        f"emulator_intrinsics.py does not know {instruction.name}"
    )
    return INTRINSICS[instruction.name]
