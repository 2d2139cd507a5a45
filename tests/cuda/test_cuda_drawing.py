"""What the card finds and draws by itself, against the host's samplers."""

import numpy as np
import pytest
from emulated import kernels_of, open_card, open_on_card
from test_cuda_operators import layer
from test_operators import weight

from lepton_cli.engine.sampling.sampler import Sampler, Sampling
from ops.cuda.drawing import CardDrawing
from ops.cuda.logits import CardLogits
from ops.cuda.lowering.records import Counts, RecordAddresses
from ops.interface import Linear, Step
from ops.logits import RankedLogits
from ops.memory_plan import Limits
from ops.state.sequence import SequenceState

pytestmark = pytest.mark.emulated
RANDOM = np.random.default_rng(3)


class Words:
    """A vocabulary of so many tokens."""

    end_of_generation = frozenset[int]()

    def __init__(self, size: int) -> None:
        self.vocab_size = size

    def token_bytes(self, token: int, render_special: bool = False) -> bytes:
        return b""


class Bench:
    """Logits on a card."""

    def __init__(self, logits: np.ndarray) -> None:  # (O, V)
        self.card = open_card()
        kernels_of(self.card).prepare(["largest", "draw"])
        self.rows, width = logits.shape
        where = self.card.allocate(logits.nbytes)
        self.card.upload(where, logits)
        self.logits = CardLogits(self.card, where, width, self.rows)
        for launch in self.logits.launches(self.rows):
            self.card.launch(launch)

    def found(self) -> RankedLogits:
        return self.logits.rows(self.rows)

    def draw(self, plan, numbers) -> np.ndarray:
        """Tokens of the same logits, one a random number."""
        drawing = CardDrawing(self.card, self.logits)
        record = self.card.allocate(64)
        self.card.upload(record, np.zeros(64, np.uint8))
        drawing.begin(plan, np.array(numbers))
        launch = drawing.launch(RecordAddresses(record, Counts(1, 1, 1, True), ()))
        for _ in numbers:
            self.card.launch(launch)
        step = np.empty(16, np.int32)
        self.card.download(record, step)
        drawn = drawing.drawn(len(numbers))
        assert step[2] == max(drawn[-1], 0) and step[3] == len(numbers)  # id and position
        return drawn


def logits(rows: int, width: int) -> np.ndarray:
    return (RANDOM.standard_normal((rows, width)) * 3).astype(np.float32)


@pytest.mark.parametrize("width", [1, 50, 1024, 1500])
def test_the_largest_come_in_order(width):
    values = logits(2, width)
    values[0, width // 2 :] = values[0, 0]  # ties: the lower id is first
    rows = Bench(values).found()
    order = np.argsort(-values, axis=1, kind="stable")[:, :64]
    np.testing.assert_array_equal(rows.largest[0], order)
    np.testing.assert_array_equal(rows.largest[1], np.take_along_axis(values, order, 1))
    np.testing.assert_array_equal(np.asarray(rows), values)
    np.testing.assert_array_equal(np.asarray(rows[-1]), values[-1])


def test_no_number_is_the_largest_of_all():
    values = logits(1, 90)
    values[0, 70], values[0, 3], values[0, 4] = np.nan, np.inf, -np.inf
    ids, found = Bench(values).found().largest
    assert ids[0, :2].tolist() == [70, 3] and not np.isfinite(found[0, :2]).any()


SETTINGS = [
    Sampling(),
    Sampling(temperature=0),
    Sampling(top_k=5, top_p=1, min_p=0),
    Sampling(top_k=64, top_p=0.6, min_p=0.2, temperature=2.5),
    Sampling(temperature=1, min_p=0.3),
    Sampling(top_k=1),
]


@pytest.mark.parametrize("sampling", SETTINGS, ids=range(len(SETTINGS)))
def test_the_card_draws_as_the_host_does(sampling):
    values = logits(1, 80)
    values[0, 11] = values[0].max()  # two likeliest
    bench, words = Bench(values), Words(80)
    hosts, cards = Sampler(sampling, words), Sampler(sampling, words)
    hosts = Sampler(Sampling(**{**_fields(sampling), "seed": cards.seed}), words)
    plan = cards.plan(80)
    assert plan is not None
    want = [hosts.sample(values[0]) for _ in range(24)]
    assert bench.draw(plan, cards.random_numbers(24)).tolist() == want
    seen = Sampler(Sampling(**{**_fields(sampling), "seed": cards.seed}), words)
    assert [seen.sample(bench.found()[0]) for _ in range(24)] == want


def test_what_is_no_number_is_told():
    values = logits(1, 80)
    values[0, 7] = np.nan
    plan = Sampler(Sampling(), Words(80)).plan(80)
    assert Bench(values).draw(plan, [0.5]).tolist() == [-1]


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(repeat_penalty=1.1),
        Sampling(logit_bias=((3, 1.0),)),
        Sampling(top_k=0),
        Sampling(typical_p=0.9),
        Sampling(xtc_probability=0.5),
        Sampling(mirostat=2),
        Sampling(dynatemp_range=0.5),
        Sampling(min_keep=2),
        Sampling(samplers=("temperature", "top_k")),
    ],
    ids=range(9),
)
def test_what_the_card_cannot_do_it_is_not_asked(sampling):
    assert Sampler(sampling, Words(80)).plan(80) is None


def test_a_vocabulary_that_files_pad_is_left_to_the_host():
    assert Sampler(Sampling(), Words(70)).plan(80) is None
    values = logits(1, 80)
    values[0, 75] = 100.0  # a row of the padding
    sampler = Sampler(Sampling(temperature=0), Words(70))
    assert sampler.sample(Bench(values).found()[0]) == int(values[0, :70].argmax())


def test_drawing_ahead_gives_what_single_steps_give():
    forward, output = layer("Q8_0"), Linear(weight(50, 64))

    def whole(ops):
        return ops.linear(output, ops.select_outputs(forward(ops)))

    sampling = Sampling(seed=5)
    drawn = []
    for ahead in (False, True):
        runner = open_on_card(whole, Limits(4, 4))
        sampler, cache, tokens = Sampler(sampling, Words(50)), SequenceState(runner.pool), [7]
        first = np.array([0], np.int32)
        while len(tokens) < 6:
            at = np.array([len(tokens) - 1], np.int32)
            step = Step(np.array(tokens[-1:], np.int32), at, first)
            if ahead:
                more = runner.draw(step, cache, sampler.plan(50), sampler.random_numbers(5))
                tokens += more.tolist()
            else:
                tokens.append(sampler.sample(runner.run(step, [cache])[0]))
        runner.close()
        drawn.append(tokens)
    assert drawn[0] == drawn[1] and len(set(drawn[0])) > 2


def _fields(sampling: Sampling) -> dict:
    return {name: getattr(sampling, name) for name in Sampling.__slots__}
