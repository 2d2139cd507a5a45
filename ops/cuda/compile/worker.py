"""A process that compiles for a card: `python -m ops.cuda.compile.worker sm_89`."""

import sys
from functools import partial

from ops.compiled.kernel_folder import pack
from ops.compiled.worker import print_names, serve
from ops.cuda.kernels import KERNELS


def compiled(name: str, sm: int) -> bytes:
    from ops.cuda.compile.ptx import (
        compile_kernel,  # imports the compiler (0.5 s), which --list does not need
    )

    code = compile_kernel(KERNELS[name], sm).code
    return pack(code.binary, f"{code.entry} {code.signature}")


if __name__ == "__main__":
    if "--list" in sys.argv:
        print_names(KERNELS)
    else:
        serve(partial(compiled, sm=int(sys.argv[1].removeprefix("sm_"))))
