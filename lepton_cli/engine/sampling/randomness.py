"""The seeded generator: xoshiro256** in exact integers, so a seed always gives the same numbers.

generator  Blackman, Vigna, "Scrambled Linear Pseudorandom Number Generators", ACM TOMS 47, 2021
seeding    SplitMix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014
"""

from collections.abc import Iterator

WORD = (1 << 64) - 1


class Xoshiro256:
    """256 bits of state, period 2**256 - 1."""

    def __init__(self, state: tuple[int, int, int, int]) -> None:
        self._state = state

    @classmethod
    def seeded(cls, seed: int) -> "Xoshiro256":
        """Any seed of 64 bits, 0 included: SplitMix64 spreads it over the state."""
        words = split_mix(seed)
        return cls((next(words), next(words), next(words), next(words)))

    def next_word(self) -> int:
        """64 random bits."""
        a, b, c, d = self._state
        c ^= a
        d ^= b
        self._state = a ^ d, b ^ c, c ^ (b << 17 & WORD), rotate(d, 45)
        return rotate(b * 5 & WORD, 7) * 9 & WORD

    def uniform(self) -> float:
        """A float64 in [0, 1): the upper 53 bits of a word, so every value is exact."""
        return (self.next_word() >> 11) * 2.0**-53


def split_mix(seed: int) -> Iterator[int]:
    """The words of SplitMix64 from a seed."""
    while True:
        seed = seed + 0x9E3779B97F4A7C15 & WORD
        z = (seed ^ seed >> 30) * 0xBF58476D1CE4E5B9 & WORD
        z = (z ^ z >> 27) * 0x94D049BB133111EB & WORD
        yield z ^ z >> 31


def rotate(word: int, bits: int) -> int:
    """To the left, in 64 bits."""
    return (word << bits | word >> 64 - bits) & WORD
