"""Entries of a grid, looked up by number: codes of levels, two bits each of 8 columns or four of 4.

An entry has 16 bits, so that the numbers of two entries are a word. The codes are spread to a byte
each. Its fourth bit is set to make a level negative, or to move it the other way; then a table of
16 gives the level.
"""

import numpy as np

from ops.cpu.kernels.simd.compiler import device
from ops.cpu.kernels.simd.dots import lookup, lookup_halves
from ops.cpu.kernels.simd.memory import store_f32
from ops.cpu.kernels.simd.operations import (
    and_int,
    as_bytes,
    multiply_int,
    or_int,
    shift_left,
    shift_right,
    xor_int,
)
from quant.codebooks import grid

SPREAD = 1 << 3 | 1 << 10 | 1 << 17 | 1 << 24  # bit i goes to bit 3 of byte i
FOURTH_BITS = 0x08080808
PLACES = {8: [0, 8, 4, 12, 2, 10, 6, 14], 4: [0, 8, 4, 12]}
"""The first bit of each column's code in an entry of so many columns."""


def lookup_entries(name):
    """The entries with the numbers in the halves of words."""
    levels = grid(name).astype(np.int64)
    codes = np.searchsorted(np.unique(levels), levels)
    return lookup_halves((codes << PLACES[codes.shape[1]]).sum(axis=1).tolist())


def levels_of_eight(name, offset):
    """levels(entries, half, g, fourth): columns 4 (g % 2) and up of the entry in a half."""
    return _of_eight(_signed(name, offset))


def levels_of_moved():
    """As `levels_of_eight`, of IQ1: 8 l + 1, or 8 l - 1 where the fourth bit is set; 16 more."""
    return _of_eight(
        lookup([16 + 8 * level + move for move in (1, -1) for level in (-1, 0, 1, 0, 0, 0, 0, 0)])
    )


def _signed(name, offset):
    """Levels by code, 2^offset more to be unsigned; those with the fourth bit are negative."""
    levels = [*np.unique(grid(name)).tolist(), *[0] * 8][:8]
    return lookup([(1 << offset) + sign * level for sign in (1, -1) for level in levels])


def _of_eight(table):
    @device
    def levels(entries, half, g, fourth):
        codes = and_int(shift_right(spread_half(entries, half), 2 * (g % 2)), 0x03030303)
        return table(as_bytes(or_int(codes, fourth)))

    return levels


def levels_of_four(name, offset):
    """levels(entries, half, fourth): of the entry in a half of words."""
    table = _signed(name, offset)

    @device
    def levels(entries, half, fourth):
        codes = and_int(spread_half(entries, half), 0x07070707)
        return table(as_bytes(or_int(codes, fourth)))

    return levels


@device
def spread_half(words, half):
    """Spreads the entry in a half of words, so that each of four codes begins a byte."""
    entry = and_int(shift_right(words, 16 * half), 0xFFFF)
    return or_int(entry, shift_left(entry, 12))


@device
def even_bytes(words, odd):
    """Bytes 0 and 2 of each word, or 1 and 3, as halves."""
    return and_int(shift_right(words, 8 * odd), 0x00FF00FF)


@device
def upper_bits(words, first, second, mask):
    """Masked bits of numbers above their eighth: from `first` on of one, `second` on of another."""
    low = shift_left(and_int(shift_right(words, first), mask), 8)
    return or_int(low, shift_left(and_int(shift_right(words, second), mask), 24))


@device
def fourth_bits(signs, g):
    """Bits 4g .. 4g + 3 as the fourth bits of four codes."""
    return and_int(multiply_int(and_int(shift_right(signs, 4 * g), 15), SPREAD), FOURTH_BITS)


@device
def with_parity(signs):
    """Sets bit 7 of each byte to the parity of its others."""
    odd = xor_int(signs, shift_right(signs, 4))
    odd = xor_int(odd, shift_right(odd, 2))
    odd = and_int(xor_int(odd, shift_right(odd, 1)), 0x01010101)
    return or_int(signs, shift_left(odd, 7))


@device
def sign_bytes(words):
    """Four times seven bits as bytes with their parity."""
    low = or_int(and_int(words, 0x7F), and_int(shift_left(words, 1), 0x7F00))
    high = or_int(
        and_int(shift_left(words, 2), 0x7F0000), and_int(shift_left(words, 3), 0x7F << 24)
    )
    return with_parity(or_int(low, high))


# of a block as the file holds it


@device
def sign_byte(seven):
    odd = seven ^ seven >> 4
    odd = odd ^ odd >> 2
    return seven | ((odd ^ odd >> 1) & 1) << 7


def spread_signed(name):
    """spread(number, signs, out, d): the weights of an entry."""
    table, width = grid(name).astype(np.float32).reshape(-1), grid(name).shape[1]

    @device
    def spread(number, signs, out, d):
        for i in range(width):
            weight = d * table[width * number + i]
            store_f32(out, i, -weight if signs >> i & 1 else weight)

    return spread


TERNARY = grid("IQ1_S").astype(np.float32).reshape(-1)


@device
def spread_moved(out, number, shift, d):
    """The weights of an entry of IQ1, whose levels are moved by 1/8 or -1/8."""
    for i in range(8):
        store_f32(out, i, d * (TERNARY[8 * number + i] + shift))
