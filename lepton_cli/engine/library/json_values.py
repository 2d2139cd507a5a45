"""Conversion of values to JSON types and to one line of JSON."""

import json
import math
import re
from collections.abc import Mapping
from typing import NoReturn

import numpy as np

from quant.strings import Strings

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]
MAX_ITEMS = 256  # of an array that is shown in full, as those with a number for each layer are
# not escaped by json, but control characters for terminals, or line ends for some readers
UNESCAPED_CONTROLS = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def plain(value: object) -> Plain:
    """A value as JSON types: arrays become lists, infinity text, a long array its length."""
    if isinstance(value, Strings | np.ndarray):
        if len(value) > MAX_ITEMS:
            return {"array_length": len(value)}
        return [
            plain(item) for item in (value.tolist() if isinstance(value, np.ndarray) else value)
        ]
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{value!r} has no form in JSON")


def json_line(record: Mapping[str, Plain]) -> str:
    """One line of JSON without newline, safe for terminals. Raises ValueError for NaN."""
    line = json.dumps(record, ensure_ascii=False, allow_nan=False)
    return UNESCAPED_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def refuse_constant(name: str) -> NoReturn:
    """For json's `parse_constant`: Python reads NaN and Infinity, which are no JSON."""
    raise ValueError(f"{name} is not a number")


def finite(text: str) -> float:
    """For json's `parse_float`: Python reads 1e999 as infinity, and would write Infinity."""
    number = float(text)
    return number if math.isfinite(number) else refuse_constant(text)


STRICT = json.JSONDecoder(parse_float=finite, parse_constant=refuse_constant)
"""Reads what can be written as JSON again; raises ValueError, RecursionError."""
