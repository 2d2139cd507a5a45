"""Attention against the NumPy definition: heads, windows, biases, and what a token sees."""

from dataclasses import replace

import numpy as np
import pytest
from attention_layers import (
    MOST,
    Attention,
    V,
    WithFurther,
    check,
    rows_of,
    tokens_of,
    types,
    weight,
)

from ops.interface import BLOCK, Heads
from ops.recorder import record
from quant.errors import ModelFileError


@pytest.mark.parametrize("group", [1, 3, 5, 7, 8])
@pytest.mark.parametrize("width", [1, 12, 16, 80])
def test_any_group_and_any_width(group, width):
    attention = Attention(Heads(0, 2 * group, 2, width, 0.3))
    check(attention, types(), [5, 1, 1, 6], 18)


@pytest.mark.parametrize("width", [64, 96, 128, 256, 512])
def test_wide_heads(width):
    attention = Attention(Heads(0, 4, 2, width, width**-0.5), layers=2)
    check(attention, types(), [70, 1, 9], 90)


class Reading(Attention):
    """The last two layers, one of them with a window, read what the first keeps."""

    def forward(self, ops):
        q, k, v = (ops.embed(table) for table in self.tables)
        heads = self.layers[0]
        q = ops.attention(ops.attention(q, k, v, heads), k, v, self.layers[1])
        q = ops.attention(q, None, None, replace(heads, window=20))
        return ops.attention(q, None, None, heads)


def test_layers_that_read_what_an_earlier_one_keeps():
    reading = Reading(Heads(0, 4, 2, 16, 0.3), layers=2)
    check(reading, types(), [70, 1, 9], 300)
    assert [page.layer for page in record(reading.forward).pages] == [0, 1]


@pytest.mark.parametrize("wrong", [{"layer": 2}, {"kv_heads": 1}, {"head_width": 8}])
def test_a_layer_that_reads_what_no_layer_keeps_is_refused(wrong):
    heads = Heads(0, 4, 2, 16, 0.3)
    table = weight(V, 4 * 16)

    def forward(ops):
        x, k = ops.embed(table), ops.embed(weight(V, 32))
        ops.layer(0).attention(x, k, k, heads)
        odd = replace(heads, **wrong)
        q = ops.columns(x, 0, 4 * odd.head_width)
        return ops.layer(7).attention(q, None, None, odd)

    with pytest.raises(ModelFileError, match="layer 7 reads the keys and values of layer"):
        record(forward)


@pytest.mark.parametrize("window", [None, 20])
def test_scores_fall_with_the_distance(window):
    slopes = tuple(2.0**-n for n in range(1, 7))
    attention = Attention(Heads(0, 6, 2, 12, 0.3, window, 30.0, slopes=slopes))
    check(attention, types(), [70, 1, 9], BLOCK + 40)


@pytest.mark.parametrize("farthest", [0, 3, 40, 2 * BLOCK])
@pytest.mark.parametrize("sees", ["past", "run"])
def test_scores_have_a_bias_for_each_distance_up_to_the_farthest(farthest, sees):
    heads = Heads(0, 6, 2, 12, 0.3, None, 30.0, sees=sees)
    attention = Attention(heads, weight(1, 6), biases=weight(6, 2 * farthest + 1))
    check(attention, types(), [70, 1, 9], BLOCK + 40)


@pytest.mark.parametrize("window", [1, 3, 63, BLOCK - 1, BLOCK, BLOCK + 5])
def test_windows_over_the_borders_of_blocks(window):
    attention = Attention(Heads(0, 2, 1, 8, 0.2, window))
    check(attention, types(), [MOST] * 5 + [1], 2 * BLOCK + 10)


@pytest.mark.parametrize("chunk", [None, 1, 3, BLOCK, BLOCK + 5])
def test_chunks_over_the_borders_of_blocks(chunk):
    attention = Attention(Heads(0, 2, 1, 8, 0.2, chunk, chunked=True))
    check(attention, types(), [MOST] * 5 + [1], 2 * BLOCK + 10)


def test_a_query_sees_its_window_or_its_chunk_or_the_whole_run():
    heads, positions = Heads(0, 1, 1, 8, 0.2), np.arange(7)

    def seen(**changed):
        firsts, stops = replace(heads, **changed).visible(positions, np.full(7, 7))
        return [f"{first}-{stop - 1}" for first, stop in zip(firsts, stops, strict=True)]

    assert seen() == ["0-0", "0-1", "0-2", "0-3", "0-4", "0-5", "0-6"]
    assert seen(window=3) == ["0-0", "0-1", "0-2", "1-3", "2-4", "3-5", "4-6"]
    assert seen(window=3, chunked=True) == ["0-0", "0-1", "0-2", "3-3", "3-4", "3-5", "6-6"]
    assert seen(stride=3) == ["0--1", "0--1", "0-2", "0-2", "0-2", "0-5", "0-5"]
    assert seen(sees="run") == seen(sees="prompt") == ["0-6"] * 7
    assert seen(sees="run", window=4) == ["0-2", "0-3", "0-4", "1-5", "2-6", "3-6", "4-6"]


@pytest.mark.parametrize("slopes", [None, (0.1, 0.2, 0.05, 0.3)])
@pytest.mark.parametrize("window", [None, 5, BLOCK + 20])
def test_tokens_may_see_those_behind_them(window, slopes):
    heads = Heads(0, 4, 2, 20, 0.3, window, slopes=slopes, sees="run")
    check(Attention(heads), types(), [MOST, MOST, MOST, 1, 9], BLOCK + 60)


def test_a_token_that_sees_its_whole_run_sees_the_last_one():
    attention, ids = Attention(Heads(0, 4, 2, 16, 0.3, sees="run")), tokens_of(40)
    changed = np.array([*ids[:-1], (ids[-1] + 1) % V], np.int32)
    cpu = attention.cpu(types())
    first, second = (rows_of(cpu, each, [40])[0].copy() for each in (ids, changed))
    cpu.close()
    assert not np.array_equal(first, second)


def test_decode_over_blocks():
    attention = Attention(Heads(0, 6, 2, 16, 0.2))
    check(attention, types(), [MOST, MOST, 50, 1], BLOCK + 10)


def test_soft_cap_and_sinks():
    attention = Attention(Heads(0, 4, 2, 8, 0.3, None, 5.0), weight(1, 4))
    check(attention, types(), [90], 2 * BLOCK + 9)


def test_large_scores_do_not_overflow():
    attention = Attention(Heads(0, 2, 1, 16, 100.0))
    check(attention, types(), [20], 60, 2e-3)  # a score near 2000 is off by 1e-4 or so


@pytest.mark.parametrize(("key", "value"), [(32, 16), (16, 48), (20, 7)])
def test_keys_and_values_of_different_widths(key, value):
    heads = Heads(0, 6, 2, key, 0.3, value_width=value)
    check(Attention(heads), types("f32" if value % 2 else "f16"), [5, 70, 1], BLOCK + 9)


@pytest.mark.parametrize("stride", [1, 4, 128])
@pytest.mark.parametrize("window", [None, 7, 70])
def test_further_keys_take_part_in_the_same_softmax(window, stride):
    attention = WithFurther(Heads(0, 6, 2, 20, 0.3, window), stride, weight(1, 6))
    check(attention, types(), [MOST, 3, 1], 2 * BLOCK + 9)
