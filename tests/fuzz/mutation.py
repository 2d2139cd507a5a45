"""Damage to bytes and texts, drawn from a generator: the same seed gives the same damage."""

from collections.abc import Callable, Sequence
from random import Random

EDGES = [
    bytes(size) if value is None else value.to_bytes(size, "little")
    for size in (1, 2, 4, 8)
    for value in (None, 1, (1 << 8 * size) - 1, 1 << (8 * size - 1), (1 << (8 * size - 1)) - 1)
]
"""Numbers at which lengths, counts and offsets go wrong."""

Mutation = Callable[[bytearray, Random], None]


def mutated(data: bytes, others: Sequence[bytes], tokens: Sequence[bytes], random: Random) -> bytes:
    """One to eight changes; `tokens` are words of the language, `others` what may be spliced in."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        kind = random.randrange(10)
        if kind < 2 and tokens:
            _replace(changed, random.choice(tokens), random)
        elif kind == 2 and tokens:
            _insert(changed, random.choice(tokens) * random.choice((1, 2, 50, 5000)), random)
        elif kind == 3:
            other = random.choice(others)
            at = _place(other, random)
            _insert(changed, other[at : at + random.choice((8, 64, 512))], random)
        else:
            random.choice(CHANGES)(changed, random)
    return bytes(changed)


def _place(data: bytes | bytearray, random: Random) -> int:
    """Rather in front, where a format has its structure."""
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
