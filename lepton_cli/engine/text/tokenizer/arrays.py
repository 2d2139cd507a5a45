"""Reads and checks the arrays of a tokenizer's metadata."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from lepton_cli.engine.library.sizes import counted
from quant.errors import ModelFileError
from quant.gguf import Metadata

MAX_BYTES = 1 << 13  # of a token or a merge pair; real ones have a few hundred
DAMAGED = "the file is damaged or incomplete: fetch or convert it again"


def read_texts(metadata: Metadata, key: str, most: int) -> list[bytes]:
    """An array of at most `most` short UTF-8 strings. Raises ModelFileError otherwise."""
    value = metadata.get(key)
    if value is None:
        raise ModelFileError(f"{metadata.path}: the key {key} is missing", DAMAGED)
    if isinstance(value, str | int | float | np.ndarray):
        raise ModelFileError(f"{metadata.path}: the key {key} should be an array of strings")
    metadata.check_length(key, most)
    if value.longest > MAX_BYTES:
        message = f"{metadata.path}: the key {key} holds a text of {value.longest} bytes"
        raise ModelFileError(f"{message}; the limit is {MAX_BYTES}", DAMAGED)
    try:
        value.joined.decode()  # all at once: ten times faster than one by one
    except UnicodeDecodeError as error:
        shown = value.joined[: error.end].rsplit(b"\0", 1)[-1]
        message = f"{metadata.path}: the key {key} holds {shown!r:.60}, which is not UTF-8"
        raise ModelFileError(message, DAMAGED) from error
    return list(value)


def decode_texts(texts: Collection[bytes]) -> list[str]:
    """Decodes UTF-8 texts all at once, three times faster than one by one."""
    decoded = b"\0".join(texts).decode().split("\0")
    return decoded if len(decoded) == len(texts) else [text.decode() for text in texts]


def read_numbers(metadata: Metadata, key: str, count: int) -> NDArray[np.float64] | None:
    """The first `count` numbers, or None if the key is missing. Raises ModelFileError."""
    value = metadata.get(key)
    if value is None:
        return None
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf":
        raise ModelFileError(f"{metadata.path}: the key {key} should be an array of numbers")
    if len(value) < count:
        message = f"{metadata.path}: the key {key} holds {counted(len(value), 'number')} "
        message += f"for {counted(count, 'token')}"
        raise ModelFileError(message, DAMAGED)
    return value[:count].astype(np.float64)
