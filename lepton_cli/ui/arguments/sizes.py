"""Sizes in bytes as options give them: 500M, 3.5G; in powers of 1000, as llama.cpp's tools."""

import re

from quant.errors import UsageError

SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGT])B?", re.IGNORECASE)
UNITS = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def size_of(flag: str, text: str) -> int:
    """Raises UsageError."""
    match = SIZE.fullmatch(text.strip())
    count = int(float(match[1]) * UNITS[match[2].upper()]) if match else 0
    if not count:
        raise UsageError(f"{flag} is {text!r}", f"give a number with M or G, like {flag} 2G")
    return count
