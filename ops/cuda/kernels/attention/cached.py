"""Layout of one kv head's keys and values in a block of the cache; stores and loads.

256 positions a block; P is the head width d, padded to a multiple of 32.

K f16:  256 rows | P float16 |
K q8_0: 256 rows | P bytes |, then for 32 dimensions at a time: for 64 positions at a time:
        | scales f16 of positions 0, 8 .. 56 | of 1, 9 .. 57 | ... | of 7, 15 .. 63 |
V f16:  for 16 dimensions at a time, for 16 positions at a time, a tile of 512 bytes in the order in
        which a warp multiplies it: lane 4g + t has 16 bytes, as float16 of the dimensions g
        | 2t, 2t + 1 | 2t + 8, 2t + 9 | and g + 8 | 2t, 2t + 1 | 2t + 8, 2t + 9 | (positions)
V q8_0: the same with bytes, then for 32 dimensions, for 16 positions at a time, for each t:
        | scales f16 of positions 2t, 2t + 1, 2t + 8, 2t + 9 |

A byte of q8_0 is its level + 128. Numbers beyond float16 are clamped to its largest, so that
the cache never holds infinity or NaN: a weight of 0 times a value must be 0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ops.cuda.kernels.intrinsics.arithmetic import (
    divided,
    halves,
    lesser,
    magnitude,
    nearest,
    permute,
    plus_halves,
    safe_halves,
    times,
    times_halves,
)
from ops.cuda.kernels.intrinsics.memory import load_int2, load_int4, store_byte, store_short
from ops.cuda.kernels.intrinsics.primitives import Address, Float, Int, f32, i32, local, wrapped
from ops.cuda.kernels.intrinsics.warps import lane, warp_maximum

Kind = Literal["f16", "q8_0"]
POSITIONS = 256
MOST_SCALE = 515.5  # 127 times it is a float16

# --- layout, in bytes


def padded(width: Int) -> Int:
    """The next width that has kernels."""
    size = (width + 31) // 32 * 32
    if size == 160 or size == 224:
        size = size + 32
    return size


def head_bytes(kind: str, padded_width: int) -> int:
    """Bytes of K or V, for one kv head in one block."""
    if kind == "f16":
        return POSITIONS * padded_width * 2
    return POSITIONS * (padded_width + padded_width // 32 * 2)


def key_scale_place(position: Int, chunk: Int) -> Int:
    """Offset from the first scale; `chunk`: which 32 dimensions."""
    return 512 * chunk + 128 * (position >> 6) + 16 * (position & 7) + 2 * (position >> 3 & 7)


def value_place(position: Int, dimension: Int) -> Int:
    """Offset in elements."""
    tile = 16 * (dimension >> 4) + (position >> 4)
    place = 32 * (dimension & 7) + 8 * (position >> 1 & 3)
    return 256 * tile + place + 4 * (dimension >> 3 & 1) + 2 * (position >> 3 & 1) + (position & 1)


def value_scale_place(position: Int, chunk: Int) -> Int:
    step = 16 * (position >> 4) + 4 * (position >> 1 & 3)
    return 2 * (256 * chunk + step + 2 * (position >> 3 & 1) + (position & 1))


# --- stores: a warp stores one element per lane, dimensions 32·chunk .. 32·chunk + 31


def put_key_f16(head: Address, position: Int, chunk: Int, padded_width: Int, a: Float) -> None:
    place = position * padded_width + 32 * chunk + lane()
    store_short(head + 2 * place, safe_halves(a, f32(0)))


def put_value_f16(head: Address, position: Int, chunk: Int, padded_width: Int, a: Float) -> None:
    place = value_place(position, 32 * chunk + lane())
    store_short(head + 2 * place, safe_halves(a, f32(0)))


def _put_quantized(byte: Address, scale_place: Address, a: Float) -> None:
    scale = divided(warp_maximum(magnitude(a)), f32(127))
    inverse = f32(0)
    if scale > f32(0):
        inverse = divided(f32(1), scale)
    store_byte(byte, nearest(times(a, inverse)) + 128)
    if lane() == 0:
        store_short(scale_place, halves(lesser(scale, f32(MOST_SCALE)), f32(0)))


def put_key_q8_0(head: Address, position: Int, chunk: Int, padded_width: Int, a: Float) -> None:
    place = position * padded_width + 32 * chunk + lane()
    scales = head + POSITIONS * padded_width
    _put_quantized(head + place, scales + key_scale_place(position, chunk), a)


def put_value_q8_0(head: Address, position: Int, chunk: Int, padded_width: Int, a: Float) -> None:
    place = value_place(position, 32 * chunk + lane())
    scales = head + POSITIONS * padded_width
    _put_quantized(head + place, scales + value_scale_place(position, chunk), a)


# --- loads: words of two float16, as B of `mma_f16`

BIAS_BYTES = 0x64646464  # with a low byte b: the float16 1024 + b
BIAS_HALVES = wrapped(0xE480E480)  # -1152, twice
LOW_PAIR, HIGH_PAIR = 0x4140, 0x4342  # which bytes of four


def _dequantized_pair(word: Int, pair: Int, scales: Int) -> Int:
    """Two of a word's four bytes as float16, times their scales."""
    return times_halves(plus_halves(permute(word, BIAS_BYTES, pair), BIAS_HALVES), scales)


def keys_f16(padded_width: int, count: int) -> Callable[..., None]:
    def load(head: Address, position: Int, chunk: Int, words) -> None:
        """Eight dimensions of the positions `position` + 0, 8, 16 ...: words (count, 4)."""
        place = head + 2 * (position * padded_width + 32 * chunk + 8 * (lane() & 3))
        for n in range(count):
            a, b, c, d = load_int4(place + 16 * padded_width * n)
            words[4 * n], words[4 * n + 1], words[4 * n + 2], words[4 * n + 3] = a, b, c, d

    return load


def keys_q8_0(padded_width: int, count: int) -> Callable[..., None]:
    pairs = count // 2

    def load(head: Address, position: Int, chunk: Int, words) -> None:
        place = head + position * padded_width + 32 * chunk + 8 * (lane() & 3)
        scales = local.array(pairs, i32)
        scale_place = head + POSITIONS * padded_width + key_scale_place(position, chunk)
        for n in range(0, pairs, 2):
            scales[n], scales[n + 1] = load_int2(scale_place + 4 * n)
        for n in range(count):
            a, b = load_int2(place + 8 * padded_width * n)
            scale = permute(scales[n // 2], 0, 0x1010 + 0x2222 * (n % 2))
            words[4 * n] = _dequantized_pair(a, LOW_PAIR, scale)
            words[4 * n + 1] = _dequantized_pair(a, HIGH_PAIR, scale)
            words[4 * n + 2] = _dequantized_pair(b, LOW_PAIR, scale)
            words[4 * n + 3] = _dequantized_pair(b, HIGH_PAIR, scale)

    return load


def values_f16(padded_width: int) -> Callable[..., tuple[Int, Int, Int, Int]]:
    def load(head: Address, tile: Int, step: Int) -> tuple[Int, Int, Int, Int]:
        """16 positions of 16 dimensions: two fragments of two words."""
        a, b, c, d = load_int4(head + 512 * (16 * tile + step) + 16 * lane())
        return a, b, c, d

    return load


def values_q8_0(padded_width: int) -> Callable[..., tuple[Int, Int, Int, Int]]:
    def load(head: Address, tile: Int, step: Int) -> tuple[Int, Int, Int, Int]:
        a, b = load_int2(head + 256 * (16 * tile + step) + 8 * lane())
        scales = head + POSITIONS * padded_width
        low, high = load_int2(scales + 512 * (tile >> 1) + 32 * step + 8 * (lane() & 3))
        return (
            _dequantized_pair(a, LOW_PAIR, low),
            _dequantized_pair(a, HIGH_PAIR, high),
            _dequantized_pair(b, LOW_PAIR, low),
            _dequantized_pair(b, HIGH_PAIR, high),
        )

    return load


@dataclass(frozen=True, slots=True)
class Codec:
    """How a cache type stores and loads keys or values.

    `loads` takes a padded width and, for keys, the number of loads in flight: 4 or 8.
    """

    put: Callable[..., None]
    loads: Callable[..., Callable[..., object]]


KEYS: dict[Kind, Codec] = {
    "f16": Codec(put_key_f16, keys_f16),
    "q8_0": Codec(put_key_q8_0, keys_q8_0),
}
VALUES: dict[Kind, Codec] = {
    "f16": Codec(put_value_f16, values_f16),
    "q8_0": Codec(put_value_q8_0, values_q8_0),
}
