"""Packing and unpacking weights: bit fields within bytes, half-precision floats.

Arrays of blocks are one-dimensional (n,), of the format's own record type. Every record type is
little-endian like the files, on every machine.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Blocks = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def half(bits: npt.NDArray[np.uint16]) -> Floats:  # (n,) -> (n, 1)
    """The value of f16 fields, which are declared as integers because CPU kernels read no f16."""
    return bits.view("<f2").astype(np.float32).reshape(-1, 1)


def half_bits(values: Floats) -> npt.NDArray[np.uint16]:  # (n, 1) -> (n,)
    """The bits of the f16 nearest to each value, as stored in a block."""
    return values.astype("<f2").view("<u2").reshape(-1)


def planes(packed: Bytes, width: int) -> Bytes:  # (..., w) -> (..., 8 // width, w)
    """The `width`-bit fields of every byte, lowest bits first.

    The first field of every byte comes first, then the second of every byte, as in the formats: 16
    bytes hold elements 0-15 in their low nibbles and 16-31 in their high nibbles.
    """
    packed = np.ascontiguousarray(packed)
    count = 8 // width
    fields = np.empty((*packed.shape[:-1], count, packed.shape[-1]), np.uint8)
    for i in range(count):
        np.right_shift(packed, np.uint8(i * width), out=fields[..., i, :])
    fields &= np.uint8((1 << width) - 1)
    return fields


def pack_nibbles(levels: Bytes) -> Bytes:  # (n, 2w) -> (n, w)
    """The inverse of `planes(packed, 4)` for one run of levels below 16."""
    low, high = np.split(levels, 2, axis=1)
    return low | high << np.uint8(4)
