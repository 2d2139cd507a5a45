"""A process that compiles for a card: names of kernels come in on stdin, machine code goes out.

Started as `python -m ops.cuda.worker sm_89` (see ops.compiling.Worker).
"""

import struct
import sys

from ops.cuda.kernels import KERNELS
from ops.shelves import pack


def serve(sm: int) -> None:
    from ops.cuda.ptx import compile_kernel  # the compiler: half a second that a list needs not

    for line in sys.stdin:
        name = line.strip()
        code = compile_kernel(KERNELS[name], sm).code
        packed = pack(code.binary, f"{code.entry} {code.signature}")
        sys.stdout.buffer.write(struct.pack("<Q", len(packed)) + packed)
        sys.stdout.flush()


if __name__ == "__main__":
    if "--list" in sys.argv:
        sys.stdout.write("\n".join(KERNELS))
    else:
        serve(int(sys.argv[1].removeprefix("sm_")))
