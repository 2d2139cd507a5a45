"""A loaded kernel, and the buffer that its operands are passed in."""

import ctypes
import struct
from typing import Any

from ops.cuda.device.device import Code

STRIDE = 8  # bytes from one operand to the next
FIELDS = {"l": "q", "i": "i4x", "f": "f4x"}


class LoadedKernel:
    """A buffer of operands, 8 bytes each, and the void** of their addresses that a launch takes.

    Reused for every launch, since the driver copies the operands.
    """

    def __init__(self, function: Any, code: Code, shared: int) -> None:
        """`shared`: the kernel's present limit of dynamic shared memory, in bytes."""
        self.function, self.shared = function, shared
        count = len(code.signature)
        self._layout = struct.Struct("=" + "".join(FIELDS[letter] for letter in code.signature))
        self._words = (ctypes.c_int64 * max(count, 1))()
        base = ctypes.addressof(self._words)
        self._pointers = (ctypes.c_void_p * max(count, 1))(
            *[base + n * STRIDE for n in range(count)]
        )
        self._address = ctypes.addressof(self._pointers)

    def pack(self, operands: tuple[int | float, ...]) -> int:
        """The address of the void**, valid until the next call."""
        self._layout.pack_into(self._words, 0, *operands)
        return self._address
