"""A process that compiles for a rung of the CPU's instructions (see ops.worker)."""

import sys

from ops.cpu.kernels import ARGUMENTS, KERNELS
from ops.cpu.kernels.compiler import compile_kernel
from ops.shelves import pack
from ops.worker import serve, tell


def compiled(name: str) -> bytes:
    return pack(*compile_kernel(KERNELS[name], ARGUMENTS.get(name, 4)))


if __name__ == "__main__":
    if "--list" in sys.argv:
        tell(KERNELS)
    else:
        serve(compiled)
