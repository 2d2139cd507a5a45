"""Formats chosen for a size: never above it, and no other choice loses less."""

import itertools

from hypothesis import given
from hypothesis import strategies as some

from lepton_cli.engine.shrinking.sizing import Option, chosen_for_size
from quant.format import FORMATS

KINDS = [FORMATS[name] for name in ("Q2_K", "Q4_K", "Q6_K", "Q8_0")]


def options(*sizes_and_losses: tuple[int, float]) -> list[Option]:
    return [
        Option(kind, size, loss)
        for kind, (size, loss) in zip(KINDS, sizes_and_losses, strict=False)
    ]


def total(chosen: dict[str, Option]) -> tuple[int, float]:
    return sum(each.bytes for each in chosen.values()), sum(each.loss for each in chosen.values())


def test_the_tensor_that_loses_most_gets_the_bits():
    found = chosen_for_size(
        {
            "hard": options((20, 9.0), (40, 2.0), (60, 0.5)),
            "easy": options((20, 0.3), (40, 0.1), (60, 0.02)),
        },
        80,
    )
    assert {name: each.bytes for name, each in found.items()} == {"hard": 60, "easy": 20}


def test_all_get_the_most_if_there_is_room():
    found = chosen_for_size({"a": options((20, 9.0), (40, 2.0)), "b": options((20, 1.0))}, 1000)
    assert total(found) == (60, 3.0)


def test_a_larger_format_that_loses_more_is_never_taken():
    found = chosen_for_size({"a": options((20, 1.0), (40, 2.0))}, 1000)
    assert found["a"].bytes == 20


tensors = some.lists(
    some.lists(some.tuples(some.integers(1, 50), some.floats(0, 10)), min_size=1, max_size=4),
    min_size=1,
    max_size=4,
)


@given(tensors, some.integers(0, 200))
def test_the_choice_keeps_within_the_size_and_is_near_the_best(given_tensors, room):
    named = {str(n): options(*each) for n, each in enumerate(given_tensors)}
    least = sum(min(option.bytes for option in each) for each in named.values())
    most = least + room
    size, loss = total(chosen_for_size(named, most))
    assert size <= most
    choices = [
        total(dict(zip(named, combination, strict=True)))
        for combination in itertools.product(*named.values())
    ]
    best = min(lost for taken, lost in choices if taken <= most)
    steps = [max(o.loss for o in each) - min(o.loss for o in each) for each in named.values()]
    assert best <= loss <= best + max(steps) + 1e-9  # what one tensor may miss by whole steps
