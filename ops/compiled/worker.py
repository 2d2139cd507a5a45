"""The compiler process of `compiling`: reads kernel names on stdin, writes kernels to stdout.

One name per line; an answer is its length (u64) and the packed kernel (`kernel_folder.pack`). With
`--list` it prints the names of all kernels. It ends when the process that started it ends.
"""

import os
import struct
import sys
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from threading import Thread

LENGTH = struct.Struct("<Q")


def serve(compile_one: Callable[[str], bytes]) -> None:
    """Runs until stdin ends, and then exits at once, even in the middle of a kernel."""
    names: SimpleQueue[str] = SimpleQueue()
    Thread(target=_listen, args=(names,), daemon=True).start()
    while True:
        packed = compile_one(names.get())
        _write(LENGTH.pack(len(packed)) + packed)


def print_names(names: Iterable[str]) -> None:
    _write("\n".join(names).encode())


def _listen(names: "SimpleQueue[str]") -> None:
    # unbuffered: a buffer's lock, held by this thread, would block the interpreter's exit
    with open(0, "rb", buffering=0, closefd=False) as lines:
        for line in lines:
            names.put(line.decode().strip())
    os._exit(0)


def _write(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # the reader is gone
        os._exit(0)
