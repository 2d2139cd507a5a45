"""`lepton` on a card of which all is real but the card: its driver is a stub, a machine runs PTX.

`python -m stub_program ARGUMENTS` with the stub of tests/emulator/stub_cuda.c as libcuda.so.1.
"""

import ctypes
import gc
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
from compiled_card import NEWER, machine
from cuda_claims import CALLBACK
from numpy import ndarray
from passes import kernel_folder

from lepton_cli.__main__ import run
from ops.cuda.compile.codes import card_kernels
from ops.cuda.device.device import Launch
from ops.cuda.kernels import KERNELS

KNOW = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
HEADER = 64  # bytes of an ELF file's, which tells its size
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
    """What the stub asks for: which kernel an image is, and to run it."""

    def __init__(self) -> None:
        stub = ctypes.CDLL("libcuda.so.1")
        stub.stub_holds.argtypes = [ctypes.c_uint64] * 2
        self._memory = HostMemory(stub.stub_holds)
        self._kept = CALLBACK(_fatal(self._runs)), KNOW(_fatal(self._knows))
        stub.stub_callback(self._kept[0])
        stub.stub_know(self._kept[1])

    def _knows(self, image: int, name: int, signature: int) -> None:
        """By its bytes: entries of kernels that two processes compiled may have the same name."""
        shelf = card_kernels(kernel_folder(), "sm_89")
        header = ctypes.string_at(image, HEADER)
        for kernel in shelf.sizes():
            binary, _ = shelf.read(kernel) or (b"", "")
            if binary.startswith(header) and ctypes.string_at(image, len(binary)) == binary:
                for place, text in ((name, kernel), (signature, KERNELS[kernel].signature)):
                    ctypes.memmove(place, text.encode() + b"\0", len(text) + 1)
                return

    def _runs(
        self, entry: bytes, grid: Any, threads: int, shared: int, words: Any, count: int
    ) -> None:
        name = entry.decode()
        given = np.array(words[:count], np.int64)
        operands = tuple(
            given[n : n + 1].view(TYPES[letter])[0].item()
            for n, letter in enumerate(KERNELS[name].signature)
        )
        assert threads <= KERNELS[name].threads, "more threads than the kernel was compiled for"
        launch = Launch(name, (grid[0], grid[1], grid[2]), threads, operands, shared)
        gc.disable()  # what is collected may ask the driver for something, which is in a call
        machine(name, NEWER, rough=False).run(launch, self._memory)
        gc.enable()


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
