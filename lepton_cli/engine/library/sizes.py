"""Sizes in bytes, as people write and read them; numbers of things."""

import math
import re

from quant.errors import UsageError

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
SIZE = re.compile(r"(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<unit>[KMGT]?)(?P<binary>i?)B?", re.I)
BITS = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*bpw", re.I)


def gigabytes(size: int) -> str:
    """A size in GB, below 1 GB in MB."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def typed_size(size: int) -> str:
    """A size as it can be typed (see bytes_of), rounded up where it has many digits: 3513M."""
    for letter, unit in (("M", 10**6), ("K", 10**3)):
        if size >= 1000 * unit:
            return f"{-(-size // unit)}{letter}"
    return str(size)


def counted(number: int, noun: str) -> str:
    """`1 row`, `2 rows`: for nouns whose plural ends in s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def bytes_of(text: str) -> int:
    """Reads 3.5G, 700MB or 1.5GiB. Raises UsageError."""
    match = SIZE.fullmatch(text.strip())
    if match is None or (match["binary"] and not match["unit"]):
        raise UsageError(f"{text!r} is no size", "give a number of bytes like 3.5G, 700M or 1.5GiB")
    unit = UNITS[match["unit"].upper()]
    if match["binary"]:
        unit = 1 << 10 * [*UNITS].index(match["unit"].upper())
    size = math.floor(float(match["number"]) * unit)
    if size < 1:
        raise UsageError(f"{text!r} is no size", "it must be above 0")
    return size


def bytes_of_weights(text: str, weights: int) -> int:
    """Reads a size, or bits for each weight of a model: 4.5bpw. Raises UsageError."""
    match = BITS.fullmatch(text.strip())
    return bytes_of(text) if match is None else bytes_of(str(int(float(match[1]) * weights / 8)))
