"""Operators with a state: the CPU against the definition, of any widths and in any chunks."""

from functools import cache

import numpy as np
import pytest
from recurrent_bytes import check_same_bytes
from test_operators import Case, V, weight

from ops.interface import Array, Linear, Ngrams, Operators, Step, Weight
from ops.recorder import record
from ops.reference.recurrence import ngram_rows
from ops.reference.runner import ReferenceRunner
from ops.state.sequence import SequenceState
from quant.errors import ModelFileError
from quant.format import FORMATS

N = 32
TABLE = weight(V, N)


@cache
def matrix(number: int, width: int) -> Linear:
    return Linear(weight(width, N))


def inputs(ops: Operators, *widths: int) -> list[Array]:
    """Activations of these widths, each with values of its own."""
    x = ops.embed(TABLE)
    return [
        ops.scale(ops.linear(matrix(n, width), x), N**-0.5 / 2) for n, width in enumerate(widths)
    ]


def check_in_any_chunks(forward) -> None:
    """Each step goes on with what the one before left; none changes the bytes."""
    check_same_bytes(forward, V)
    case = Case(forward, tokens=2)
    case.check(steps=4)
    case.tokens, case.start = 9, 0
    case.check(steps=2)


@pytest.mark.parametrize("width", [1, 16, 39])
def test_a_shift_gives_the_row_before(width):
    def forward(ops):
        [x] = inputs(ops, width)
        return ops.add(x, ops.layer(0).shift(x))

    check_in_any_chunks(forward)


@pytest.mark.parametrize(
    ("heads", "width", "rows", "groups"), [(1, 16, 3, 1), (6, 40, 7, 3), (4, 5, 16, 1)]
)
def test_a_selective_scan_of_heads_equals_its_definition(heads, width, rows, groups):
    rates, skip = weight(heads, 1), weight(1, heads)

    def forward(ops):
        x, delta, b, c = inputs(ops, heads * width, heads, groups * rows, groups * rows)
        return ops.layer(0).selective_scan(x, delta, b, c, rates, skip, groups)

    check_in_any_chunks(forward)


@pytest.mark.parametrize(("channels", "rows"), [(16, 4), (37, 5), (3, 16)])
def test_a_selective_scan_with_a_rate_for_each_row_equals_its_definition(channels, rows):
    rates, skip = weight(channels, rows), weight(1, channels)

    def forward(ops):
        x, delta, b, c = inputs(ops, channels, channels, rows, rows)
        return ops.layer(0).selective_scan(x, delta, b, c, rates, skip, 1)

    check_in_any_chunks(forward)


@pytest.mark.parametrize("kind", ["plain", "bonus", "correction"])
@pytest.mark.parametrize(("heads", "rows", "columns"), [(1, 16, 16), (3, 5, 21)])
def test_linear_attention_equals_its_definition(kind, heads, rows, columns):
    bonus = weight(heads, rows) if kind == "bonus" else None

    def forward(ops):
        keys, values = heads * rows, heads * columns
        q, k, v, decay, *more = inputs(ops, keys, keys, values, keys, keys, keys)
        correction = tuple(more) if kind == "correction" else None
        return ops.layer(0).linear_attention(q, k, v, decay, heads, bonus, correction)

    check_in_any_chunks(forward)


def test_states_of_one_kind_in_a_layer_do_not_meet():
    def forward(ops):
        a, b = inputs(ops, 16, 16)
        here = ops.layer(0)
        return ops.add(here.shift(a), here.shift(b))

    check_in_any_chunks(forward)
    assert [state.number for state in record(forward).states] == [0, 1]


def scanned(rates: Weight, skip: Weight, b: int, c: int, groups: int):
    def forward(ops):
        x, delta, *more = inputs(ops, 24, 4, b, c)
        return ops.layer(0).selective_scan(x, delta, *more, rates, skip, groups)

    return forward


@pytest.mark.parametrize(
    ("rates", "skip", "b", "c", "groups"),
    [
        ((3, 1), 4, 8, 8, 1),
        ((4, 2), 4, 8, 8, 1),
        ((4, 1), 5, 8, 8, 1),
        ((4, 1), 4, 8, 9, 1),
        ((4, 1), 4, 9, 9, 2),
        ((4, 1), 4, 9, 9, 3),
    ],
)
def test_a_scan_of_shapes_that_do_not_fit_is_refused(rates, skip, b, c, groups):
    with pytest.raises(ModelFileError):
        record(scanned(weight(*rates), weight(1, skip), b, c, groups))


NGRAMS = Ngrams(((1 << 63) + 9, 12345678987654321, 77), (7, 11, 13, 5), (0, 7, 18, 31), end=3)


@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
def test_rows_for_ngrams_equal_their_definition(kind):
    table = weight(36, 32, kind)
    check_in_any_chunks(lambda ops: ops.layer(0).embed_ngrams(table, NGRAMS))


def test_an_ngram_does_not_reach_over_an_end_or_the_start():
    def alone(*tokens):
        return ngram_rows([-1, -1, -1, *tokens][-3:], NGRAMS)

    assert alone(9, 8) == alone(3, 9, 8) != alone(4, 9, 8)
    assert alone(4, 3, 8) == alone(3, 3, 8) == alone(8)
    assert alone(4, 8, 3) != alone(3, 8, 3)  # an end is no border of its own n-gram
    first, second, *_ = alone(5, 6)
    mixed = 6 * ((1 << 63) + 9) % (1 << 64) ^ 5 * 12345678987654321 % (1 << 64)
    assert (first, second) == (mixed % 7, 7 + mixed % 11)


def test_a_table_with_too_few_rows_for_ngrams_is_refused():
    with pytest.raises(ModelFileError, match="has 35 rows, rows 31 to 36 are used"):
        record(lambda ops: ops.layer(0).embed_ngrams(weight(35, 8), NGRAMS))


@pytest.mark.parametrize(("ratio", "parts"), [(3, 1), (4, 2), (1, 2), (5, 3)])
def test_compressed_rows_equal_their_definition(ratio, parts):
    places = weight(ratio, parts * 21)

    def forward(ops):
        [x] = inputs(ops, 2 * parts * 21)
        return ops.layer(0).compress(x, places, ratio, parts)

    check_in_any_chunks(forward)


def test_a_compressed_row_is_a_weighted_sum_of_its_tokens_values():
    """Two tokens a row: of the last two the second parts, of those before the first ones."""
    table = np.array([[1, 2, 0, 0], [3, 4, 0, 0], [5, 6, 0, 0], [7, 8, 0, 0]], np.float32)
    x = Weight("x", FORMATS["F32"], 4, table.view(np.uint8))
    places = Weight("p", FORMATS["F32"], 2, np.zeros((2, 2), np.float32).view(np.uint8))
    runner = ReferenceRunner(
        record(lambda ops: ops.layer(0).compress(ops.embed(x), places, 2, 2)), ("f32", "f32")
    )
    tokens = np.arange(4, dtype=np.int32)
    y = runner.run(Step(tokens, tokens, tokens), [SequenceState(runner.pool)])
    expected = [0, (2 + 4) / 2, 0, (1 + 3 + 6 + 8) / 4]
    np.testing.assert_allclose(y[:, 0], expected, 1e-6)
