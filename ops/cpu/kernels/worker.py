"""A process that compiles for a rung of the CPU's instructions (see ops.compiled.worker)."""

import sys

from ops.compiled.kernel_folder import pack
from ops.compiled.worker import print_names, serve
from ops.cpu.kernels import ARGUMENTS, KERNELS, kernel
from ops.cpu.kernels.simd.compiler import compile_kernel


def compiled(name: str) -> bytes:
    return pack(*compile_kernel(kernel(name), ARGUMENTS.get(name, 4)))


if __name__ == "__main__":
    if "--list" in sys.argv:
        print_names(KERNELS)
    else:
        serve(compiled)
