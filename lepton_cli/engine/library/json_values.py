"""Values that JSON has a word for, and the line that is made of them."""

import json
import math
import re
from collections.abc import Mapping

import numpy as np

from quant.gguf import Strings

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]
MOST_ITEMS = 16  # of an array that is shown
# what json leaves as it is: terminals obey some, and some readers take others for line ends
LATE_CONTROLS = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def plain(value: object) -> Plain:
    """Tuples and arrays are lists, infinity is its name, a long array is told by its length."""
    if isinstance(value, Strings | np.ndarray):
        if len(value) > MOST_ITEMS:
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
    """One line, without its end, that stays one however it is read. Raises ValueError for NaN."""
    line = json.dumps(record, ensure_ascii=False, allow_nan=False)
    return LATE_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", line)
