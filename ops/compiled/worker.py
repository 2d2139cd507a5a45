"""A process of `compiling`: names of kernels come in on stdin, kernels go out on stdout.

One name a line; an answer is its length (u64) and the kernel as the shelves keep it. With `--list`
it tells the names of all kernels. It ends with the process that started it, however that ended.
"""

import os
import struct
import sys
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from threading import Thread

LENGTH = struct.Struct("<Q")


def serve(compile_one: Callable[[str], bytes]) -> None:
    """Until stdin ends, and then at once: a kernel that is half compiled is nobody's any more."""
    names: SimpleQueue[str] = SimpleQueue()
    Thread(target=_listen, args=(names,), daemon=True).start()
    while True:
        packed = compile_one(names.get())
        _write(LENGTH.pack(len(packed)) + packed)


def tell(names: Iterable[str]) -> None:
    _write("\n".join(names).encode())


def _listen(names: "SimpleQueue[str]") -> None:
    # unbuffered: a buffer's lock, held here, would be missed when the interpreter ends
    with open(0, "rb", buffering=0, closefd=False) as lines:
        for line in lines:
            names.put(line.decode().strip())
    os._exit(0)


def _write(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # nobody is left to tell
        os._exit(0)
