"""`lepton` on a card of which all is real but the card: its driver is a stub, a machine runs PTX.

`python -m tests.stub_program ARGUMENTS` with the stub of tests/stub_cuda.c as libcuda.so.1.
"""

import ctypes
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

sys.path.append(str(Path(__file__).parent))  # as pytest does

from compiled_card import NEWER, machine
from cuda_claims import CALLBACK
from passes import kernel_folder

from lepton_cli.__main__ import run
from ops.cuda.codes import code_shelf
from ops.cuda.device import Launch
from ops.cuda.kernels import KERNELS

DESCRIBE = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(ctypes.c_char), ctypes.c_int
)
LOWEST, HIGHEST = 1 << 12, 1 << 47  # addresses of a process
TYPES = {"l": np.int64, "i": np.int32, "f": np.float32}
BROKEN = 99


class HostMemory:
    """All of the process's memory, of which the stub's card is a part."""

    def __init__(self, holds: Callable[[int, int], int]) -> None:
        everything = (ctypes.c_uint8 * (HIGHEST - LOWEST)).from_address(LOWEST)
        self.data = np.frombuffer(everything, np.uint8)
        self._holds = holds

    def at(self, address: ndarray, size: int) -> ndarray:
        assert not (address % size).any(), f"not aligned to {size}"
        low, high = int(address.min()), int(address.max())
        if not self._holds(low, high - low + size):
            for one in np.unique(address).tolist():
                assert self._holds(one, size), f"{one:#x} is no address of the card"
        return address - LOWEST


class Processor:
    """What the stub asks for: the signatures of entries, and to run them."""

    def __init__(self) -> None:
        stub = ctypes.CDLL("libcuda.so.1")
        stub.stub_holds.argtypes = [ctypes.c_uint64] * 2
        self._memory = HostMemory(stub.stub_holds)
        self._names: dict[bytes, str] = {}  # of kernels, by their entries
        self._kept = CALLBACK(_fatal(self._runs)), DESCRIBE(_fatal(self._describes))
        stub.stub_callback(self._kept[0])
        stub.stub_describe(self._kept[1])

    def _describes(self, entry: bytes, signature: Any, room: int) -> int:
        shelf = code_shelf(kernel_folder(), "sm_89")
        for name in shelf.sizes():
            found = shelf.read(name)
            assert found, f"{name} is damaged"
            self._names[found[1].split()[0].encode()] = name
        letters = KERNELS[self._names[entry]].signature.encode() + b"\0"
        assert len(letters) <= room
        ctypes.memmove(signature, letters, len(letters))
        return 1

    def _runs(
        self, entry: bytes, grid: Any, threads: int, shared: int, words: Any, count: int
    ) -> None:
        name = self._names[entry]
        given = np.array(words[:count], np.int64)
        operands = tuple(
            given[n : n + 1].view(TYPES[letter])[0].item()
            for n, letter in enumerate(KERNELS[name].signature)
        )
        launch = Launch(name, (grid[0], grid[1], grid[2]), threads, operands, shared)
        machine(name, NEWER, rough=False).run(launch, self._memory)


def _fatal(function: Callable[..., Any]) -> Callable[..., Any]:
    """ctypes would go on behind an exception."""

    def called(*given: Any) -> Any:
        try:
            return function(*given)
        except BaseException:
            traceback.print_exc()
            os._exit(BROKEN)

    return called


if __name__ == "__main__":
    processor = Processor()
    sys.exit(run(sys.argv[1:]))
