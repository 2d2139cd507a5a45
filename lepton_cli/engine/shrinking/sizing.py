"""Which format each tensor gets, so that a file keeps within a size and loses least."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quant.format import Format

HALVINGS = 100  # of the interval in which the price of a byte is looked for


@dataclass(frozen=True, slots=True)
class Option:
    """A format that a tensor may get: the bytes that it takes, and the loss that is expected."""

    format: Format
    bytes: int
    loss: float


def chosen_for_size(options: Mapping[str, Sequence[Option]], most: int) -> dict[str, Option]:
    """One option a tensor, with the least sum of losses among those of at most so many bytes.

    A byte has a price: every tensor takes what is cheapest, loss and bytes together, and the
    price is the least at which all keep within the size (Shoham and Gersho 1988). What is left
    over then goes where it gains most a byte. `most` is at least the sum of the smallest ones.
    """
    useful = {name: _hull(each) for name, each in options.items()}
    assert sum(each[0].bytes for each in useful.values()) <= most, "the caller asks for enough"
    low, high = 0.0, _highest_price(useful)
    for _ in range(HALVINGS):
        price = (low + high) / 2
        if _bytes(_cheapest(useful, price)) <= most:
            high = price
        else:
            low = price
    return _filled(useful, _cheapest(useful, high), most)


def _hull(options: Sequence[Option]) -> list[Option]:
    """The smallest first, without those that another beats, or two others in their mixture."""
    found = list[Option]()
    for option in sorted(options, key=lambda each: (each.bytes, each.loss)):
        if found and option.loss >= found[-1].loss:
            continue
        while len(found) > 1 and _gain(found[-2], found[-1]) <= _gain(found[-1], option):
            found.pop()
        found.append(option)
    return found


def _gain(small: Option, large: Option) -> float:
    """What a byte more saves of the loss."""
    return (small.loss - large.loss) / max(1, large.bytes - small.bytes)


def _highest_price(useful: Mapping[str, Sequence[Option]]) -> float:
    """At which every tensor takes its smallest option."""
    gains = [_gain(each[0], each[1]) for each in useful.values() if len(each) > 1]
    return 2 * max(gains, default=1.0) + 1e-30


def _cheapest(useful: Mapping[str, Sequence[Option]], price: float) -> dict[str, Option]:
    return {
        name: min(each, key=lambda option: option.loss + price * option.bytes)
        for name, each in useful.items()
    }


def _filled(
    useful: Mapping[str, Sequence[Option]], chosen: dict[str, Option], most: int
) -> dict[str, Option]:
    """The same with the room that is left given away, the greatest gain a byte first."""
    left = most - _bytes(chosen)
    while True:
        steps = [
            (_gain(chosen[name], option), name, option)
            for name, each in useful.items()
            for option in each
            if 0 < option.bytes - chosen[name].bytes <= left
        ]
        if not steps:
            return chosen
        _, name, option = max(steps, key=lambda step: (step[0], step[1]))
        left -= option.bytes - chosen[name].bytes
        chosen = {**chosen, name: option}


def _bytes(chosen: Mapping[str, Option]) -> int:
    return sum(option.bytes for option in chosen.values())
