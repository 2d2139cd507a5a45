"""An emulated card that runs what the compiler made of kernels, and holds it against their source.

Needs the extra `cuda`, and no card. Each launch runs twice from the same memory: the source, word
by word, and the PTX, instruction by instruction. Both must leave the same bytes.
"""

import functools

import numpy as np
from emulator import EmulatedDevice
from ptx_machine import Machine

from ops.cuda.device import Launch
from ops.cuda.kernels import KERNELS

NEWER, OLDER = 80, 75  # cards that spell the words of tensor cores differently


@functools.cache
def _ptx(name: str) -> str:
    from ops.cuda import ptx  # the compiler

    return ptx.to_ptx(KERNELS[name])


@functools.cache
def machine(name: str, sm: int) -> Machine:
    from ops.cuda import ptx

    return Machine(ptx.spelled(_ptx(name), sm))


class CompiledDevice(EmulatedDevice):
    """`ran` tells what was launched. Older cards sum float16 in two parts: other last bits."""

    ran: set[tuple[str, int]] = set()

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
                    f"{got[at[0] & -4:][:8]}, not {want[at[0] & -4:][:8]}"
                )
