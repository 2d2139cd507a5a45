"""How a token is drawn: at chosen points of the generator, and how often in the long run."""

import numpy as np
import pytest

from lepton_cli.engine.sampling.candidates import Candidates
from lepton_cli.engine.sampling.draws import (
    AdaptiveP,
    Distribution,
    Draw,
    Mirostat,
    MirostatZipf,
    draw_position,
)
from lepton_cli.engine.sampling.randomness import Xoshiro256

HIGHEST = 1 - 2.0**-53
HALVES = (0.5, 0.25, 0.125, 0.0625, 0.0625)


class Chosen(Xoshiro256):
    """Gives the numbers it was given."""

    def __init__(self, *numbers: float) -> None:
        super().__init__((1, 2, 3, 4))
        self._numbers = iter(numbers)

    def uniform(self) -> float:
        return next(self._numbers)


def of_p(*p: float) -> Candidates:
    return Candidates(np.arange(10, 10 + len(p), dtype=np.int32), np.log(p))


@pytest.mark.parametrize(
    ("number", "position"),
    [(0.0, 1), (0.24, 1), (0.26, 3), (0.74, 3), (0.76, 4), (HIGHEST, 4)],
)
def test_draw_follows_the_weights_and_never_takes_a_weight_of_0(
    number: float, position: int
) -> None:
    assert draw_position(np.array([0.0, 2, 0, 4, 2, 0]), Chosen(number)) == position


@pytest.mark.parametrize("total", [1.0, 1 + 2**-52, 1.5, 3.0, 0.1, 1e-300, 7e76])
def test_draw_stays_inside_at_the_highest_number(total: float) -> None:
    assert draw_position(np.array([total]), Chosen(HIGHEST)) == 0


def test_distribution_is_drawn_in_proportion() -> None:
    rng, counts = Xoshiro256.seeded(1), np.zeros(5)
    for _ in range(8000):
        counts[Distribution().draw(of_p(*HALVES), rng) - 10] += 1
    expected = 8000 * np.array(HALVES)
    assert ((counts - expected) ** 2 / expected).sum() < 18.5  # 0.999 of chi-square, 4


def test_mirostat_2_moves_its_ceiling_by_the_error() -> None:
    mirostat = Mirostat(target=1.2, rate=1.0)  # so the ceiling starts at 2.4 bits: two tokens
    rng = Chosen(0.0, HIGHEST, HIGHEST)
    # 2 of 3 parts: 0.585 bits, 0.615 below the target; the ceiling is 3.015 bits, three tokens
    assert mirostat.draw(of_p(*HALVES), rng) == 10
    # 1 of 7 parts: 2.807 bits, 1.607 above the target; the ceiling is 1.408 bits, one token
    assert mirostat.draw(of_p(*HALVES), rng) == 12
    assert mirostat.draw(of_p(*HALVES), rng) == 10


def test_mirostat_2_keeps_one_token_at_least() -> None:
    assert Mirostat(0.0, 0.1).draw(of_p(0.2, 0.5, 0.3), Chosen(HIGHEST)) == 11


@pytest.mark.parametrize(("exponent", "target"), [(1.2, 3.0), (1.0, 2.0), (0.7, 4.0)])
def test_mirostat_1_fits_zipf(exponent: float, target: float) -> None:
    size = 1000
    p = np.arange(1.0, size + 1) ** -exponent
    excess = exponent - 1
    scale = excess / (1 - size**-excess) if excess else 1 / np.log(size)
    count = int((scale * 2 ** (2 * target)) ** (1 / exponent))
    assert 1 < count < size
    drawn = MirostatZipf(target, 0.1, size).draw(of_p(*p / p.sum()), Chosen(HIGHEST))
    assert drawn - 10 == count - 1


@pytest.mark.parametrize("p", [(1.0,), (0.5, 0.5), (0.2,) * 5, (1 - 1e-9, 1e-9), (1.0, 1e-300)])
@pytest.mark.parametrize("target", [0.0, 0.5, 5.0, 1e30])
def test_mirostat_1_stands_degenerate_distributions(p: tuple[float, ...], target: float) -> None:
    mirostat, rng = MirostatZipf(target, 0.1, 5), Xoshiro256.seeded(0)
    assert {mirostat.draw(of_p(*p), rng) for _ in range(20)} <= set(range(10, 15))


@pytest.mark.parametrize("kind", [Mirostat, MirostatZipf])
def test_mirostat_keeps_the_surprise_near_its_target(kind: type[Mirostat]) -> None:
    mirostat = kind(3.0, 0.1, 2000) if kind is MirostatZipf else kind(3.0, 0.1)
    random, rng = np.random.default_rng(5), Xoshiro256.seeded(5)
    surprises = []
    for _ in range(600):
        p = random.dirichlet(1 / np.arange(1.0, 2001))
        surprises.append(-np.log2(p[mirostat.draw(of_p(*p + 1e-30), rng) - 10]))
    assert abs(np.mean(surprises) - 3) < 0.4  # bits, before what is cut off is shared out


def test_adaptive_p_prefers_what_is_near_its_target() -> None:
    # distances 2/3, 0 and 1/3 of the width: logits 5 - 8/3, 5 and 5 - 5/6
    weights = np.exp([5 - 8 / 3, 5, 5 - 5 / 6])
    first, second = np.cumsum(weights / weights.sum())[:2]
    for number, token in [(first - 1e-9, 10), (first + 1e-9, 11), (second + 1e-9, 12)]:
        assert AdaptiveP(0.3, 0.9).draw(of_p(0.5, 0.3, 0.2), Chosen(number)) == token


def test_adaptive_p_compensates_for_what_it_drew() -> None:
    adaptive = AdaptiveP(0.3, 0.5)
    assert adaptive.draw(of_p(0.5, 0.3, 0.2), Chosen(0.0)) == 10
    # the average is now (0.5 + 0.5 * 0.6) / (1 + 0.5 * 2) = 0.4, so the aim is 0.2
    logits = 5 - 10 * np.array([1.0, 1 / 9, 0]) / np.array([2, 4 / 3, 1])
    first = np.exp(logits)[0] / np.exp(logits).sum()
    assert adaptive.draw(of_p(0.5, 0.3, 0.2), Chosen(first + 1e-9)) == 11


def test_adaptive_p_holds_its_average() -> None:
    adaptive, rng = AdaptiveP(0.3, 0.9), Xoshiro256.seeded(2)
    p = (0.45, 0.25, 0.15, 0.1, 0.05)
    drawn = [p[adaptive.draw(of_p(*p), rng) - 10] for _ in range(2000)]
    assert abs(np.mean(drawn) - 0.3) < 0.03


@pytest.mark.parametrize(
    "draw",
    [Distribution(), Mirostat(5, 0.1), MirostatZipf(5, 0.1, 5), AdaptiveP(0.3, 0.9)],
    ids=lambda draw: draw.name,
)
def test_draws_take_one_number_and_only_candidates(draw: Draw) -> None:
    rng = Chosen(0.0, 0.3, 0.9, HIGHEST)
    assert all(10 <= draw.draw(of_p(*HALVES), rng) < 15 for _ in range(4))
