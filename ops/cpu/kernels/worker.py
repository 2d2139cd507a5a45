"""A process that compiles: names of kernels come in on stdin, their object code goes out on stdout.

One name a line; an answer is its length (u64) and the kernel as the shelves keep it. With `--list`
it tells the names of all kernels.
"""

import struct
import sys

from ops.cpu.kernels import ARGUMENTS, KERNELS
from ops.cpu.kernels.compiler import compile_kernel
from ops.shelves import pack


def serve() -> None:
    for line in sys.stdin:
        name = line.strip()
        packed = pack(*compile_kernel(KERNELS[name], ARGUMENTS.get(name, 4)))
        sys.stdout.buffer.write(struct.pack("<Q", len(packed)) + packed)
        sys.stdout.flush()


if __name__ == "__main__":
    if "--list" in sys.argv:
        sys.stdout.write("\n".join(KERNELS))
    else:
        serve()
