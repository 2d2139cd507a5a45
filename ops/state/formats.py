"""The memory layout of K and V in a block of the cache, shared by kernels and host.

For each layer K, then V:

K: for each kv head 4 panels of 64 positions. f16, bf16, f32: | element 0 of all 64 | element 1 |...
    q8_0, per 32 elements: | 64 scales f16 | byte 0 of all 64 | ... | byte 31 |
    others, per 32 elements: | 64 scales f16 | 64 minima f16 of q4_1, q5_1 | byte 0 of all 64 | ...
        | byte 15 | and of q5_0, q5_1 fifth bits: | byte 0 of all 64 | ... | byte 3 |; byte i has
        element i in its low nibble, element i + 16 in the high one; bit j of the four is j's
V: for each kv head 256 rows, one per position. f16, bf16, f32: | element 0 | element 1 | ... |
    q8_0: | all bytes | one f16 scale per 32 of them |
    others: | 16 elements | 16 elements | ... | per 32 elements a scale f16, or scale and minimum |;
        16 elements: | nibbles of elements 0-7 low, 8-15 high | 16 fifth bits of q5_0, q5_1 |

K and V of f16, bf16 and f32 are padded to 16 elements.
"""

from typing import Literal, get_args

CacheType = Literal["f16", "f32", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "iq4_nl", "q4_0"]
CACHE_TYPES: tuple[CacheType, ...] = get_args(CacheType)
PANEL = 64  # positions side by side in K: a cache line of bytes, the widest a kernel reads at once
LANES = 16
CODED = {"q8_0": 34, "q5_1": 24, "q5_0": 22, "q4_1": 20, "iq4_nl": 18, "q4_0": 18}
"""Bytes of 32 elements that share a scale."""


def cached_bytes(kind: CacheType, width: int) -> int:
    """Bytes of one kv head's K or V for one position."""
    if kind in CODED:
        return width // 32 * CODED[kind]
    return -(-width // LANES) * LANES * (4 if kind == "f32" else 2)
