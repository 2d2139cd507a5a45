"""Random mutations of bytes and texts; the same seed gives the same mutations."""

import re
from collections.abc import Callable, Sequence
from random import Random

EDGES = [
    bytes(size) if value is None else value.to_bytes(size, "little")
    for size in (1, 2, 4, 8)
    for value in (None, 1, (1 << 8 * size) - 1, 1 << (8 * size - 1), (1 << (8 * size - 1)) - 1)
]
"""Numbers at which lengths, counts and offsets go wrong."""

MAX_SEARCHED = 10_000  # bytes of a text that has grown

Mutation = Callable[[bytearray, Random], None]


def mutated(data: bytes, others: Sequence[bytes], tokens: Sequence[bytes], random: Random) -> bytes:
    """One to eight changes; `tokens` are words of the language, `others` what may be spliced in.

    A text (which has tokens) mostly stays one, so that it gets beyond the first check.
    """
    changed = bytearray(data)
    changes = TEXT_CHANGES if tokens and random.random() < 0.9 else CHANGES
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        kind = random.randrange(10)
        if kind < 2 and tokens:
            _replace(changed, random.choice(tokens), random)
        elif kind == 2 and tokens:
            _insert(changed, random.choice(tokens) * random.choice((1, 1, 2, 5000)), random)
        elif kind == 3:
            other = random.choice(others)
            at = _place(other, random)
            _insert(changed, other[at : at + random.choice((8, 64, 512))], random)
        else:
            random.choice(changes)(changed, random)
    return bytes(changed)


def _place(data: bytes | bytearray, random: Random) -> int:
    """A position, more often near the front, where formats have their structure."""
    most = random.choice((64, 1024, 16384, len(data)))
    return random.randrange(min(len(data), most) + 1)


def _replace(data: bytearray, piece: bytes, random: Random) -> None:
    at = _place(data, random)
    data[at : at + len(piece)] = piece


def _insert(data: bytearray, piece: bytes, random: Random) -> None:
    at = _place(data, random)
    data[at:at] = piece


def _flip(data: bytearray, random: Random) -> None:
    if data:
        data[min(_place(data, random), len(data) - 1)] ^= 1 << random.randrange(8)


def _edge(data: bytearray, random: Random) -> None:
    _replace(data, random.choice(EDGES), random)


def _noise(data: bytearray, random: Random) -> None:
    _replace(data, random.randbytes(random.choice((1, 4, 16))), random)


def _cut(data: bytearray, random: Random) -> None:
    del data[_place(data, random) :]


def _drop(data: bytearray, random: Random) -> None:
    at = _place(data, random)
    del data[at : at + random.choice((1, 4, 8, 100))]


def _repeat(data: bytearray, random: Random) -> None:
    at = _place(data, random)
    piece = data[at : at + random.choice((1, 4, 16, 64))]
    data[at:at] = piece * random.choice((1, 2, 100, 3000))


CHANGES: Sequence[Mutation] = (_flip, _flip, _edge, _edge, _noise, _cut, _drop, _repeat)


# --- of texts -------------------------------------------------------------------------------

PIECE = re.compile(rb"\w+|\s+|[^\w\s]")
NUMBER = re.compile(rb"\d+")
NUMBERS = (b"0", b"-1", b"1", b"999999999", b"1e400", b"18446744073709551616", b"0.5", b"null")


def _some(pattern: re.Pattern[bytes], data: bytearray, random: Random) -> slice:
    """The span of a random match."""
    found = [match.span() for match in pattern.finditer(data[:MAX_SEARCHED])]
    return slice(*random.choice(found)) if found else slice(0, 0)


def _number(data: bytearray, random: Random) -> None:
    data[_some(NUMBER, data, random)] = random.choice(NUMBERS)


def _drop_piece(data: bytearray, random: Random) -> None:
    del data[_some(PIECE, data, random)]


def _copy_piece(data: bytearray, random: Random) -> None:
    """Copies a span over another one, or next to it."""
    piece, place = data[_some(PIECE, data, random)], _some(PIECE, data, random)
    data[place if random.random() < 0.5 else slice(place.stop, place.stop)] = piece


def _line(data: bytearray, random: Random) -> None:
    """Swaps or duplicates lines."""
    lines = data.splitlines(keepends=True)
    if lines:
        lines.insert(random.randrange(len(lines)), random.choice(lines))
        if random.random() < 0.5:
            lines.remove(random.choice(lines))
        data[:] = b"".join(lines)


TEXT_CHANGES: Sequence[Mutation] = (
    *(_number, _number, _drop_piece, _drop_piece, _copy_piece, _copy_piece, _line, _repeat, _cut),
)
