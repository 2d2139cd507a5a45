"""A kernel that is on the card, and the memory from which the driver takes its operands."""

import ctypes
import struct
from typing import Any

from ops.cuda.device.device import Code

WORD = 8  # bytes from one operand to the next
FIELDS = {"l": "q", "i": "i4x", "f": "f4x"}


class LoadedKernel:
    """The operands of a launch, each in a word of its own, and the void** that points at them.

    Both are written anew for each launch, since the driver copies the operands at the launch.
    """

    def __init__(self, function: Any, code: Code, shared: int) -> None:
        """`shared`: the bytes of dynamic shared memory that it may take so far."""
        self.function, self.shared = function, shared
        count = len(code.signature)
        self._layout = struct.Struct("=" + "".join(FIELDS[letter] for letter in code.signature))
        self._words = (ctypes.c_int64 * max(count, 1))()
        base = ctypes.addressof(self._words)
        self._pointers = (ctypes.c_void_p * max(count, 1))(*[base + n * WORD for n in range(count)])
        self._address = ctypes.addressof(self._pointers)

    def pack(self, operands: tuple[int | float, ...]) -> int:
        """The address of the void**, valid until the next call."""
        self._layout.pack_into(self._words, 0, *operands)
        return self._address
