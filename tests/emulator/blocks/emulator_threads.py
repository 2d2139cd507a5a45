"""The meaning of kernels: runs their source as it stands, thread by thread.

Right by its plainness, and slow: what the emulator that runs whole warps is measured against. Each
thread is a greenlet that runs until it meets an intrinsic of its warp or a barrier.
"""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import greenlet
import numpy as np
from emulator_memory import Memory

from ops.cuda.device.device import Launch
from ops.cuda.kernels import Kernel
from ops.cuda.kernels.intrinsics.binding import Binder, Symbol
from ops.cuda.kernels.intrinsics.primitives import WARP, Intrinsic


class Thread(greenlet.greenlet):
    """One thread of a block."""

    x = 0
    block: "Block"
    met: tuple[Any, Any] | None = None  # the intrinsic it waits at, and what it gave


@dataclass(slots=True)
class Block:
    """What its threads share."""

    place: tuple[int, int, int]
    launch: Launch
    shared: Any

    @property
    def base(self) -> int:
        return ctypes.addressof(self.shared)


def run_threads(kernel: Kernel, launch: Launch, memory: Memory, operands: Sequence[Any]) -> None:
    binder = Binder(lambda instruction: _translated(instruction, memory), lambda function: function)
    function = binder.bind(kernel.function)
    for z, y, x in product(*map(range, reversed(launch.grid))):
        shared = (ctypes.c_uint8 * (launch.shared + 16))(*b"\xa5" * launch.shared)
        _run_block(function, operands, Block((x, y, z), launch, shared))


def _translated(instruction: Symbol, memory: Memory) -> Any:
    if not isinstance(instruction, Intrinsic):
        return instruction
    if instruction.kind == "register":
        return REGISTERS[instruction.name]
    if instruction.kind == "shared_base":
        return lambda: 0
    if instruction.kind in ("collective", "barrier"):
        return _meeting(instruction)
    if not instruction.touches:
        return instruction.meaning
    space, size = instruction.touches
    return (
        _in_shared(instruction, size)
        if space == "shared"
        else _in_global(instruction, size, memory)
    )


def _in_global(instruction: Intrinsic, size: int, memory: Memory) -> Callable[..., Any]:
    def touch(address: int, *rest: Any) -> Any:
        memory.check(address, size)
        return instruction.meaning(address, *rest)

    return touch


def _in_shared(instruction: Intrinsic, size: int) -> Callable[..., Any]:
    def touch(address: int, *rest: Any) -> Any:
        block = _current().block
        assert address % size == 0
        assert 0 <= address <= block.launch.shared - size
        return instruction.meaning(block.base + address, *rest)

    return touch


def _current() -> Thread:
    thread = greenlet.getcurrent()
    assert isinstance(thread, Thread)
    return thread


REGISTERS: dict[str, Callable[[], int]] = {
    "thread_x": lambda: _current().x,
    "block_x": lambda: _current().block.place[0],
    "block_y": lambda: _current().block.place[1],
    "block_z": lambda: _current().block.place[2],
    "threads": lambda: _current().block.launch.threads,
    "blocks_x": lambda: _current().block.launch.grid[0],
}


def _meeting(instruction: Intrinsic) -> Callable[..., Any]:
    def meet(*given: Any) -> Any:
        thread = _current()
        numbers = tuple(  # as the registers would hold them
            np.float32(one) if letter == "f" else int(one)
            for one, letter in zip(given, instruction.operands, strict=True)
        )
        thread.met = instruction, numbers
        return thread.parent.switch()

    return meet


def _run_block(function: Callable[..., None], operands: Sequence[Any], block: Block) -> None:
    threads = []
    for x in range(block.launch.threads):
        thread = Thread(function)
        thread.x, thread.block = x, block
        threads.append(thread)
    warps = [threads[start : start + WARP] for start in range(0, len(threads), WARP)]
    begin: Sequence[Any] = operands
    while True:
        for warp in warps:
            _run_warp(warp, begin)
        begin = ()
        running = [warp for warp in warps if warp[0].met is not None]
        assert len(running) in (0, len(warps)), "some warps ended before a barrier, others did not"
        if not running:
            return


def _run_warp(warp: list[Thread], begin: Sequence[Any]) -> None:
    """Up to the next barrier, or to the end."""
    given = [begin if begin else (None,)] * WARP
    while True:
        for thread, one in zip(warp, given, strict=True):
            thread.met = None
            thread.switch(*one)
        met = [thread.met for thread in warp]
        words = {one[0].name if one else "the end" for one in met}
        assert len(words) == 1, f"a warp's threads parted: {sorted(words)}"
        if met[0] is None or met[0][0].kind == "barrier":
            return
        given = [(one,) for one in met[0][0].meaning([one[1] for one in met])]
