"""Arrays of strings: found and split as one by one, whatever the texts hold."""

import mmap
import random
import struct

import pytest

from quant import strings
from quant.strings import Strings, find_starts

ZEROS = bytes(9)
ARRAYS = {
    "none": [],
    "one": [b"a"],
    "empty": [b""] * 5,
    "short": [b"%d" % n for n in range(2500)],
    "long": [b"a", b"b" * 255, b"c" * 256, b"d" * 300, b"e" * 70_000, b"f", b""],
    "zero bytes": [b"\0", b"a\0", b"\0b", b"c" + ZEROS, ZEROS + b"d", b"e", struct.pack("<Q", 3)],
    "mixed": [b"x" * random.Random(n).choice([0, 1, 7, 300]) for n in range(3000)],
}


def mapped(texts: list[bytes], before: bytes = b"head", after: bytes = b"") -> mmap.mmap:
    array = b"".join(struct.pack("<Q", len(text)) + text for text in texts)
    content = before + array + after
    buffer = mmap.mmap(-1, len(content))
    buffer[:] = content
    return buffer


@pytest.mark.parametrize("after", [b"", bytes(100), b"\1" + bytes(7) + b"a" + b"\1" + bytes(7)])
@pytest.mark.parametrize("window", [16, 100, 1 << 16])
@pytest.mark.parametrize("name", ARRAYS)
def test_the_strings_are_those_of_the_file(monkeypatch, name, window, after):
    monkeypatch.setattr(strings, "WINDOW", window)
    texts, buffer = ARRAYS[name], mapped(ARRAYS[name], after=after)
    starts = find_starts(buffer, 4, len(texts))
    assert starts is not None and starts[-1] == len(buffer) - len(after)
    found = Strings(buffer, starts)
    assert list(found) == texts and len(found) == len(texts)
    assert found.longest == max(map(len, texts), default=0)
    assert found.joined == b"".join(b"\0" + text for text in texts)
    assert found.raw() == buffer[4 : len(buffer) - len(after)]


@pytest.mark.parametrize("name", ["one", "long", "zero bytes", "mixed"])
def test_an_array_that_the_file_ends_in_has_no_starts(name):
    texts = ARRAYS[name]
    whole = mapped(texts)[:]
    for missing in range(1, min(len(whole) - 4, 40)):
        buffer = mmap.mmap(-1, len(whole) - missing)
        buffer[:] = whole[: len(whole) - missing]
        assert find_starts(buffer, 4, len(texts)) is None
    assert find_starts(mapped(texts), 4, len(texts) + 1) is None


@pytest.mark.parametrize("length", [1 << 62, (1 << 64) - 1])
def test_absurd_lengths_have_no_starts(length):
    array = struct.pack("<Q", 1) + b"a" + struct.pack("<Q", length)
    buffer = mapped([], after=array + bytes(100))
    assert find_starts(buffer, 4, 3) is None
