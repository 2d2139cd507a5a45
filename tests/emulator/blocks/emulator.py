"""A card in Python: runs the source of kernels, warp by warp, with each intrinsic's meaning.

Warps run one after the other up to a barrier, in rising or falling order: a kernel that lacks a
barrier gives different results in the two. What a kernel touches must lie in memory that was
allocated, and be aligned to its size; memory, shared memory and local arrays begin as garbage.
"""

from collections.abc import Iterator, Sequence
from types import FunctionType
from typing import Any

import numpy as np
from emulator_blocks import VectorBinder, run_blocks
from emulator_lanes import WARP
from emulator_memory import Memory

from ops.cuda.device.device import Code, Launch
from ops.cuda.kernels import KERNELS, Kernel
from ops.cuda.kernels.intrinsics.kernel import fields

MOST_SHARED = 99 << 10  # bytes that every card from sm_80 on can give a block; sm_75: 64 KiB
_BINDER = VectorBinder()
_BOUND: dict[FunctionType, FunctionType] = {}


class Emulator:
    """Runs launches; `falling` turns the order of warps around, `races` looks for such."""

    def __init__(self, memory: Memory, *, falling: bool = False, races: bool = False) -> None:
        self.memory, self.falling, self.races = memory, falling, races
        self.counts: dict[str, int] = {}  # how often each kernel was launched

    def run(self, kernel: Kernel, launch: Launch) -> None:
        operands = checked_operands(kernel, launch)
        if kernel.function not in _BOUND:
            _BOUND[kernel.function] = _BINDER.bind(kernel.function)
        self.counts[launch.kernel] = self.counts.get(launch.kernel, 0) + 1
        function, way = _BOUND[kernel.function], {"falling": self.falling, "races": self.races}
        run_blocks(function, operands, launch, self.memory, **way)


def checked_operands(kernel: Kernel, launch: Launch) -> list[Any]:
    """What the kernel's function is called with."""
    assert 0 < launch.threads <= kernel.threads, (launch, kernel.threads)
    assert launch.threads % WARP == 0
    assert len(launch.operands) == len(kernel.signature), (launch, kernel.signature)
    assert launch.shared <= MOST_SHARED
    assert all(size > 0 for size in launch.grid), launch
    operands = [
        np.float32(operand) if letter == "f" else int(operand)
        for operand, letter in zip(launch.operands, kernel.signature, strict=True)
    ]
    for operand, letter in zip(operands, kernel.signature, strict=True):
        assert letter != "i" or -(2**31) <= operand < 2**31, (launch, operand)
    rest = iter(operands)
    return [_argument(parameter, rest) for parameter in kernel.parameters]


def _argument(parameter: Any, operands: Iterator[Any]) -> Any:
    """The next operand, or a record of the next ones."""
    inner = fields(parameter)
    if inner is None:
        return next(operands)
    return parameter(*(_argument(field, operands) for field in inner))


class EmulatedGraph:
    def __init__(self, device: "EmulatedDevice", launches: Sequence[Launch]) -> None:
        self._device, self.launches = device, list(launches)

    def replay(self) -> None:
        for launch in self.launches:
            self._device.launch(launch)

    def close(self) -> None:
        self.launches = []


class EmulatedDevice:
    """`ops.cuda.device.device.Device` in this process."""

    name, capability = "an emulated card", (8, 9)

    def __init__(self, total: int = 1 << 30, *, falling: bool = False, races: bool = False) -> None:
        self._memory = Memory(total)
        self.emulator = Emulator(self._memory, falling=falling, races=races)
        self.loaded: set[str] = set()
        self.graphs = 0

    def memory(self) -> tuple[int, int]:
        return self._memory.total - self._memory.used, self._memory.total

    def allocate(self, size: int) -> int:
        return self._memory.allocate(size)

    def free(self, address: int) -> None:
        self._memory.free(address)

    def clear(self, address: int, size: int) -> None:
        self._memory.view(address, size)[:] = 0

    def upload(self, address: int, source: np.ndarray) -> None:
        flat = np.ascontiguousarray(source).reshape(-1).view(np.uint8)
        self._memory.view(address, len(flat))[:] = flat

    def download(self, address: int, target: np.ndarray) -> None:
        flat = target.reshape(-1).view(np.uint8)
        flat[:] = self._memory.view(address, len(flat))

    def copy(self, source: int, target: int, size: int) -> None:
        self._memory.view(target, size)[:] = self._memory.view(source, size)

    def load(self, name: str, code: Code) -> None:
        self.loaded.add(name)

    def launch(self, launch: Launch) -> None:
        assert launch.kernel in self.loaded, f"{launch.kernel} was not loaded"
        self.emulator.run(KERNELS[launch.kernel], launch)

    def capture(self, launches: Sequence[Launch]) -> EmulatedGraph:
        self.graphs += 1
        return EmulatedGraph(self, launches)

    def synchronize(self) -> None:
        """Everything is done as it is enqueued."""

    def close(self) -> None:
        """Nothing is held."""
