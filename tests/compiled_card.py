"""An emulated card that runs what the compiler made of kernels, and holds it against their source.

Needs the extra `cuda`, and no card. Each launch runs twice from the same memory: the source, word
by word, and the PTX, instruction by instruction. Both must leave the same bytes.
"""

import functools
from typing import ClassVar

import numpy as np
from emulator import EmulatedDevice
from passes import kernel_folder
from ptx_machine import Machine

from ops.cuda import ptx
from ops.cuda.codes import code_shelf
from ops.cuda.device import Launch
from ops.cuda.kernels import KERNELS
from ops.shelves import pack

NEWER, OLDER = 80, 75  # cards that spell the words of tensor cores differently


def ptx_of(name: str) -> str:
    """For every card; compiled once for all processes of a test run."""
    shelf = code_shelf(kernel_folder(), "ptx")
    found = shelf.read(name)
    if found:
        return found[0].decode()
    text = ptx.to_ptx(KERNELS[name])
    shelf.write(name, pack(text.encode(), name))
    return text


@functools.cache
def machine(name: str, sm: int) -> Machine:
    return Machine(ptx.spelled(ptx_of(name), sm))


class CompiledDevice(EmulatedDevice):
    """`ran` tells what was launched, on all of them. Older cards sum float16 in two parts."""

    ran: ClassVar[set[tuple[str, int]]] = set()

    def __init__(self, sm: int) -> None:
        super().__init__()
        self._sm = sm

    def launch(self, launch: Launch) -> None:
        before = self._memory.pieces()
        super().launch(launch)
        meant = self._memory.pieces()
        self._memory.restore(before)
        run = machine(launch.kernel, self._sm)
        run.run(launch, self._memory)
        self.ran.add((launch.kernel, self._sm))
        if self._sm == OLDER and any("f16.f16" in one for one in run.opcodes):
            return
        for n, (got, want) in enumerate(zip(self._memory.pieces(), meant, strict=True)):
            if not np.array_equal(got, want):
                at = np.flatnonzero(got != want)
                raise AssertionError(
                    f"{launch}: {len(at)} bytes of piece {n} differ, from {at[0]} on: "
                    f"{got[at[0] & -4 :][:8]}, not {want[at[0] & -4 :][:8]}"
                )
