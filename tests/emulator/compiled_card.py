"""An emulated card that runs what the compiler made of kernels, and holds it against their source.

Needs the extra `cuda`, and no card. Each launch runs twice from the same memory: the source, and
the PTX, instruction by instruction. Both must leave the same bytes.
"""

import functools
from typing import ClassVar

import numpy as np
from emulator import EmulatedDevice
from passes import kernel_folder
from ptx_machine import Machine
from ptx_rounding import EXACT, ROUGH

from ops.compiled.kernel_folder import pack
from ops.cuda.compile import ptx
from ops.cuda.compile.codes import card_kernels
from ops.cuda.device.device import Launch
from ops.cuda.kernels import KERNELS

NEWER, OLDER = 80, 75  # cards that spell tensor core instructions differently


def ptx_of(name: str) -> str:
    """For every card; compiled once for all processes of a test run."""
    shelf = card_kernels(kernel_folder(), "ptx")
    found = shelf.read(name)
    if found:
        return found[0].decode()
    text = ptx.to_ptx(KERNELS[name])
    shelf.write(name, pack(text.encode(), name))
    return text


@functools.cache
def machine(name: str, sm: int, rough: bool) -> Machine:
    return Machine(ptx.spelled(ptx_of(name), sm), ROUGH if rough else EXACT)


class CompiledDevice(EmulatedDevice):
    """`rough`: rounds roughly, and then nothing is compared. `falling`: the last warp goes first.

    `same` tells what was compared, on all of them. Older cards sum float16 in two parts: that is
    near the definition, but not the same.
    """

    same: ClassVar[set[tuple[str, int]]] = set()

    def __init__(self, sm: int, *, rough: bool = False, falling: bool = False) -> None:
        super().__init__(falling=falling)
        self._sm, self._rough, self._falling = sm, rough, falling

    def launch(self, launch: Launch) -> None:
        run = machine(launch.kernel, self._sm, self._rough)
        in_parts = self._sm == OLDER and any("f16.f16" in one for one in run.opcodes)
        if self._rough or in_parts:
            run.run(launch, self._memory, falling=self._falling)
            return
        before = self._memory.pieces()
        super().launch(launch)
        meant = self._memory.pieces()
        self._memory.restore(before)
        run.run(launch, self._memory, falling=self._falling)
        self.same.add((launch.kernel, self._sm))
        for n, (got, want) in enumerate(zip(self._memory.pieces(), meant, strict=True)):
            if not np.array_equal(got, want):
                at = int(np.flatnonzero(got != want)[0]) & -4
                raise AssertionError(
                    f"{launch}: piece {n} differs from {at} on: {got[at:][:8]}, not {want[at:][:8]}"
                )
