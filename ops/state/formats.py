"""The memory layout of K and V in a block of the cache, shared by kernels and host.

For each layer K, then V:

K: for each kv head 4 panels of 64 positions. f16, f32: | element 0 of all 64 | element 1 | ... |
    q8_0, per 32 elements: | 64 scales f16 | byte 0 of all 64 | ... | byte 31 |
V: for each kv head 256 rows, one per position. f16, f32: | element 0 | element 1 | ... |
    q8_0: | all bytes | one f16 scale per 32 of them |

K and V of f16 and f32 are padded to 16 elements.
"""

from typing import Literal, get_args

CacheType = Literal["f16", "f32", "q8_0"]
CACHE_TYPES: tuple[CacheType, ...] = get_args(CacheType)
PANEL = 64  # positions side by side in K: a cache line of bytes, the widest a kernel reads at once
LANES = 16


def cached_bytes(kind: CacheType, width: int) -> int:
    """Bytes of one kv head's K or V for one position."""
    if kind == "q8_0":
        return width // 32 * 34
    return -(-width // LANES) * LANES * (2 if kind == "f16" else 4)
