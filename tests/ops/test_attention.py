"""Attention and the KV cache against the NumPy definition, and that no division of work shows."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from passes import open_on_cpu

from ops.backend import CacheTypes
from ops.cpu.lower import scratch_bytes
from ops.interface import BLOCK, Further, Heads, Step, Weight
from ops.memory_plan import Limits
from ops.narrowing import narrow
from ops.operations.attention import Attention as AttentionOperation
from ops.operations.base import Pages
from ops.recorder import record
from ops.reference.runner import ReferenceRunner
from ops.state.blocks import BlockPool
from ops.state.formats import CACHE_TYPES, CODED, CacheType
from ops.state.layout import StateLayout
from ops.state.sequence import SequenceState
from quant.errors import ModelFileError, UsageError
from quant.format import FORMATS

RANDOM = np.random.default_rng(3)
V = 40  # different tokens
MOST = 100  # tokens a pass
TOLERANCE = {"f32": 1e-5, "f16": 1e-5, "bf16": 1e-5, "q8_0": 2e-3}
TOLERANCE |= dict.fromkeys(("q5_1", "q5_0"), 2e-2) | dict.fromkeys(("q4_1", "iq4_nl", "q4_0"), 4e-2)
"""Where elements share a scale, a number may round to its neighbour."""
FEW, SOME = ("f16", "f32", "q8_0"), ("q5_1", "q4_0")
"""Types of each run, and of the exhaustive tests: each pair takes ten seconds to compile."""


def marked(kind: CacheType) -> list[pytest.MarkDecorator]:
    if kind in FEW:
        return []
    return [pytest.mark.exhaustive if kind in SOME else pytest.mark.weekly]


PAIRS = [
    *(pytest.param(kind, kind, marks=marked(kind)) for kind in CACHE_TYPES),
    pytest.param("q8_0", "f16", marks=pytest.mark.exhaustive),
    *(pytest.param(*two, marks=pytest.mark.weekly) for two in pairwise(CACHE_TYPES)),
]


def weight(rows: int, columns: int) -> Weight:
    values = RANDOM.standard_normal((rows, columns), dtype=np.float32)
    return Weight("w", FORMATS["F32"], columns, values.view(np.uint8))


class Attention:
    """Layers of attention alone: each token has its query, key and value, whatever its position."""

    def __init__(
        self,
        heads: Heads,
        sinks: Weight | None = None,
        layers: int = 1,
        biases: Weight | None = None,
    ) -> None:
        self.layers = tuple(
            Heads(n, *(getattr(heads, name) for name in Heads.__slots__[1:])) for n in range(layers)
        )
        self.tables = [
            weight(V, width)
            for width in (
                heads.query_heads * heads.head_width,
                heads.kv_heads * heads.key_columns,
                heads.kv_heads * heads.values,
            )
        ]
        self._sinks, self._biases = sinks, biases

    def forward(self, ops):
        q, k, v = (
            ops.embed(table) if table.columns else ops.columns(ops.embed(self.tables[0]), 0, 0)
            for table in self.tables
        )
        for heads in self.layers:
            q = ops.attention(q, k, v, heads, self._sinks, biases=self._biases)
        return q

    def cpu(self, kv: CacheTypes, threads: int = 3):
        return open_on_cpu(self.forward, Limits(MOST, MOST), kv, threads)


def types(k: CacheType = "f32", v: CacheType | None = None) -> CacheTypes:
    """Of the cache."""
    return k, v or k


def tokens_of(count: int):
    return np.random.default_rng(count).integers(0, V, count).astype(np.int32)


def rows_of(runner, tokens, chunks: Sequence[int], cache: SequenceState | None = None):
    """Every token's result; so many tokens enter at once, the last number again and again."""
    results, start, turn = [], 0, 0
    cache = cache or SequenceState(runner.pool)
    while start < len(tokens):
        part = tokens[start : start + chunks[min(turn, len(chunks) - 1)]]
        positions = np.arange(start, start + len(part), dtype=np.int32)
        step = Step(part, positions, np.arange(len(part), dtype=np.int32))
        results.append(runner.run(step, [cache]).copy())
        start, turn = start + len(part), turn + 1
    return np.concatenate(results)


def check(
    attention: Attention,
    kv: CacheTypes,
    chunks: Sequence[int],
    count: int,
    tolerance: float = 0.0,
) -> None:
    tokens = tokens_of(count)
    cpu, reference = attention.cpu(kv), ReferenceRunner(record(attention.forward), kv)
    whole = attention.layers[0].sees == "run"  # then the division into passes shows
    got = rows_of(cpu, tokens, chunks)
    want = rows_of(reference, tokens, chunks if whole else [MOST])
    cpu.close()
    tolerance = max(*(TOLERANCE[kind] for kind in kv), tolerance)
    np.testing.assert_allclose(got, want, atol=tolerance * np.abs(want).max(), rtol=0)


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


class Selecting(Attention):
    """The last layers read what an earlier one keeps; some rows are wanted."""

    def forward(self, ops):
        q, k, v = (ops.embed(table) for table in self.tables)
        heads = self.layers[0]
        x = ops.attention(ops.attention(q, k, v, heads), k, v, self.layers[1])
        x = ops.attention(x, None, None, replace(heads, window=20))
        return ops.select_outputs(ops.attention(x, None, None, heads))


@pytest.mark.parametrize("wanted", [[0, 5, 69, 70, 75], [71], [69], []])
def test_wanted_rows_are_as_among_all_rows(wanted):
    """One sequence is in its second block; the other begins."""
    attention = Selecting(Heads(0, 4, 2, 16, 0.3), layers=2)
    narrowed = narrow(record(attention.forward).operations)
    rows = {op.q.rows for op in narrowed if isinstance(op, AttentionOperation)}
    assert rows == {"outputs"}
    runner, results = attention.cpu(types()), []
    for outputs in (wanted, [*range(76)]):
        caches = [SequenceState(runner.pool) for _ in range(2)]
        rows_of(runner, tokens_of(BLOCK - 9), [MOST], caches[0])
        step = step_of([(tokens_of(70), BLOCK - 9), (tokens_of(6), 0)])
        step = replace(step, outputs=np.array(outputs, np.int32))
        results.append(runner.run(step, caches).copy())
    runner.close()
    np.testing.assert_array_equal(results[0], results[1][wanted])


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


@pytest.mark.parametrize(("k", "v"), PAIRS)
def test_any_types_of_keys_and_values(k, v):
    attention = Attention(Heads(0, 4, 2, 96, 0.05), layers=2)
    check(attention, types(k, v), [90, 1], 98)


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


@pytest.mark.parametrize("farthest", [3, 128])
def test_threads_and_chunks_do_not_show_where_distances_have_biases(farthest):
    attention = Attention(Heads(0, 4, 2, 20, 1.0), biases=weight(4, 2 * farthest + 1))
    tokens, results = tokens_of(BLOCK + 70), []
    for threads, chunks in ((1, [MOST]), (2, [37, 1, 1, 90]), (5, [1])):
        cpu = attention.cpu(types("f16"), threads)
        results.append(rows_of(cpu, tokens, chunks).copy())
        cpu.close()
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


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


@pytest.mark.parametrize("slopes", [None, (0.1, 0.2, 0.05, 0.3)])
def test_threads_and_other_sequences_of_a_step_do_not_show_in_whole_runs(slopes):
    attention = Attention(Heads(0, 4, 2, 20, 0.3, 300, slopes=slopes, sees="run"))
    long, short, results = tokens_of(MOST), tokens_of(30), []
    for threads in (1, 2, 5):
        cpu = attention.cpu(types(), threads)
        alone = rows_of(cpu, short, [30]).copy()
        caches = [SequenceState(cpu.pool) for _ in range(2)]
        step = step_of([(long[: MOST - 30], 0), (short, 0)])
        together = cpu.run(step, caches).copy()
        np.testing.assert_array_equal(together[MOST - 30 :], alone)
        results.append(together)
        cpu.close()
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


def test_decode_over_blocks():
    attention = Attention(Heads(0, 6, 2, 16, 0.2))
    check(attention, types(), [MOST, MOST, 50, 1], BLOCK + 10)


def test_soft_cap_and_sinks():
    attention = Attention(Heads(0, 4, 2, 8, 0.3, None, 5.0), weight(1, 4))
    check(attention, types(), [90], 2 * BLOCK + 9)


def test_large_scores_do_not_overflow():
    attention = Attention(Heads(0, 2, 1, 16, 100.0))
    check(attention, types(), [20], 60, 2e-3)  # a score near 2000 is off by 1e-4 or so


@pytest.mark.parametrize("window", [None, 100])
@pytest.mark.parametrize("group", [1, 3, 4])
def test_chunks_and_threads_do_not_show(window, group):
    """The last chunks enter one by one: blocks are shared among threads, then merged."""
    slopes = tuple(0.1 * n for n in range(6)) if group == 3 else None
    heads = Heads(0, 2 * group, 2, 20, 0.3, window, slopes=slopes)
    attention = Attention(heads, weight(1, 2 * group))
    tokens, results = tokens_of(2 * BLOCK + 30), []
    for threads, chunks in ((1, [MOST]), (2, [7]), (3, [1]), (5, [MOST] * 5 + [1]), (2, [64])):
        cpu = attention.cpu(types("f16"), threads)
        results.append(rows_of(cpu, tokens, chunks))
        cpu.close()
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


def step_of(parts) -> Step:
    """A step of (tokens, first position) of some sequences; every token is asked for."""
    tokens = np.concatenate([tokens for tokens, _ in parts])
    positions = [np.arange(first, first + len(tokens)) for tokens, first in parts]
    starts = np.cumsum([0, *(len(tokens) for tokens, _ in parts[:-1])]).tolist()
    outputs = np.arange(len(tokens), dtype=np.int32)
    return Step(tokens, np.concatenate(positions).astype(np.int32), outputs, tuple(starts))


@pytest.mark.exhaustive
@pytest.mark.parametrize("window", [None, 100])
def test_values_that_are_unpacked_for_many_tokens_give_the_same_bytes(window):
    attention, tokens = Attention(Heads(0, 4, 2, 64, 0.2, window)), tokens_of(BLOCK + 40)
    runner = attention.cpu(types("f32", "q8_0"), threads=1)
    whole = rows_of(runner, tokens, [MOST])
    one_by_one = rows_of(runner, tokens, [*[MOST] * (BLOCK // MOST), 1])
    runner.close()
    np.testing.assert_array_equal(whole, one_by_one)


def test_threads_have_room_for_the_unpacked_values_of_a_block_where_values_have_scales():
    program = record(Attention(Heads(0, 4, 2, 64, 0.2)).forward)
    op = next(op for op in program.operations if isinstance(op, AttentionOperation))
    sizes = {v: scratch_bytes(op, Limits(1, 1), StateLayout.of(program, v=v)) for v in CACHE_TYPES}
    for kind, size in sizes.items():
        assert (size >= 4 * 64 * BLOCK + sizes["f16"]) == (kind in CODED)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("window", [None, 100])
def test_sequences_in_one_step_do_not_see_each_other(backend, window):
    """Prefill of one beside single tokens of others, of which one is in its second block."""
    attention = Attention(Heads(0, 6, 2, 20, 0.3, window), weight(1, 6), layers=2)
    layout = types("f16")
    runner = (
        attention.cpu(layout)
        if backend == "cpu"
        else ReferenceRunner(record(attention.forward), layout)
    )
    sequences = [tokens_of(count) for count in (BLOCK + 3, 7, 50, 1)]
    had = [BLOCK, 5, 0, 0]
    alone = [
        rows_of(runner, tokens, [MOST])[first:]
        for tokens, first in zip(sequences, had, strict=True)
    ]
    caches = [SequenceState(runner.pool) for _ in sequences]
    for tokens, first, cache in zip(sequences, had, caches, strict=True):
        rows_of(runner, tokens[:first], [MOST], cache) if first else None
    parts = [(tokens[first:], first) for tokens, first in zip(sequences, had, strict=True)]
    together = runner.run(step_of(parts), caches).copy()
    runner.close()
    np.testing.assert_array_equal(together, np.concatenate(alone))


@pytest.mark.parametrize("common", [BLOCK - 30, BLOCK, BLOCK + 5])
def test_a_fork_goes_its_own_way_from_a_common_beginning(common):
    attention = Attention(Heads(0, 4, 2, 16, 0.3), layers=2)
    cpu = attention.cpu(types("f16"))
    first, second = tokens_of(BLOCK + 10), tokens_of(BLOCK + 10)
    second[common:] = (second[common:] + 1) % V
    expected = [rows_of(cpu, tokens, [MOST])[common:] for tokens in (first, second)]
    cache = SequenceState(cpu.pool)
    rows_of(cpu, first[:common], [MOST], cache)
    other, _ = cache.fork(common)
    shared = {block for block in cache.blocks if block in other.blocks}
    assert len(shared) == len(other.blocks)
    parts = [(first[common:], common), (second[common:], common)]
    together = cpu.run(step_of(parts), [cache, other]).copy()
    still = [mine is theirs for mine, theirs in zip(cache.blocks, other.blocks, strict=True)]
    assert still == [n < common // BLOCK for n in range(2)]
    for each in (cache, other):
        each.shrink(0)
    cpu.close()
    np.testing.assert_array_equal(together, np.concatenate(expected))


def test_blocks_return_to_the_pool_when_the_last_holder_lets_go():
    pool = BlockPool(StateLayout((Pages(0, 1, 16, 16),)))
    cache = SequenceState(pool)
    cache.reserve(0, 2 * BLOCK)
    places = set(cache.table().tolist())
    other, _ = cache.fork(BLOCK + 1)
    assert (other.missing(BLOCK + 1, BLOCK + 2), cache.missing(0, 2 * BLOCK + 1)) == (1, 3)
    cache.shrink(0)
    third = SequenceState(pool)
    third.reserve(0, 1)
    assert third.table()[0] not in places, "the fork holds both"
    other.shrink(BLOCK)
    third.reserve(0, BLOCK + 1)
    assert third.table()[1] in places


@pytest.mark.parametrize("kind", [pytest.param(n, marks=marked(n)) for n in CACHE_TYPES])
def test_old_values_of_a_block_do_not_leak(kind):
    attention = Attention(Heads(0, 3, 1, 32, 0.3, 70))
    tokens, results = tokens_of(BLOCK + 40), []
    for fill in (0, 255):  # all bits set: no number in f16 and f32
        cpu = attention.cpu(types(kind))
        cache = SequenceState(cpu.pool)
        cache.reserve(0, len(tokens))
        for block in cache.blocks:
            block.memory[:] = fill
        results.append(rows_of(cpu, tokens, [50, 1], cache))
        cpu.close()
    assert np.isfinite(results[0]).all()
    np.testing.assert_array_equal(*results)


def test_a_value_that_overflows_is_not_seen_before_its_position():
    """100000 is infinite in f16; who stands before it in the same tile knows nothing of it."""
    attention = Attention(Heads(0, 1, 1, 16, 0.3))
    table = attention.tables[2].data.view(np.float32)
    table[7] = 1e5
    tokens = np.array([1, 2, 3, 7, 4, 5], np.int32)
    cpu = attention.cpu(types("f16"))
    rows = rows_of(cpu, tokens, [6])
    cpu.close()
    assert np.isfinite(rows[:3]).all() and np.isinf(rows[3:]).all()


WIDTH_64 = {"f16": 128, "f32": 256, "bf16": 128, "q8_0": 68}  # bytes of 64 elements
WIDTH_64 |= {"q5_1": 48, "q5_0": 44, "q4_1": 40, "iq4_nl": 36, "q4_0": 36}


@pytest.mark.parametrize("kind", CACHE_TYPES)
def test_a_block_has_room_for_all_layers(kind):
    layers = Attention(Heads(0, 4, 2, 64, 0.1), layers=3)
    layout = StateLayout.of(record(layers.forward), kind, "f16")
    places = [*(place for n in range(3) for place in layout.offsets(n)), layout.block_bytes]
    sizes = [BLOCK * 2 * WIDTH_64[kind], BLOCK * 2 * 128] * 3
    assert np.diff(places).tolist() == sizes
    assert places[0] < layout.block_bytes / 100  # the room for partial results
    cache = SequenceState(BlockPool(layout))
    cache.reserve(0, BLOCK + 1)
    assert cache.bytes == 2 * layout.block_bytes
    assert all(address % 64 == 0 for address in cache.table().tolist())


@pytest.mark.parametrize("kv", [("q8_0", "f16"), ("f16", "q8_0"), ("q4_0", "f32"), ("f16", "q5_1")])
def test_types_with_scales_refuse_heads_that_do_not_fit(kv):
    with pytest.raises(UsageError, match=r"q\d_\w cache .* 80"):
        StateLayout((Pages(0, 1, 80, 80),), (), 0, *kv)


@pytest.mark.parametrize(("key", "value"), [(32, 16), (16, 48), (20, 7)])
def test_keys_and_values_of_different_widths(key, value):
    heads = Heads(0, 6, 2, key, 0.3, value_width=value)
    check(Attention(heads), types("f32" if value % 2 else "f16"), [5, 70, 1], BLOCK + 9)


LATENT = Heads(0, 5, 1, 96, 0.2, value_width=64, keys_hold_values=True)


@pytest.mark.parametrize(("k", "v"), PAIRS)
@pytest.mark.parametrize("width", [64, 96])  # 64: nothing follows the value
def test_keys_that_begin_with_their_values(k, v, width):
    check(Attention(replace(LATENT, head_width=width)), types(k, v), [5, 70, 1], BLOCK + 9)


def test_keys_that_begin_with_their_values_are_kept_once():
    layout = StateLayout.of(record(Attention(LATENT).forward), "f16", "f16")
    assert layout.position_bytes(0) == 2 * 96


def test_no_division_of_work_shows_where_keys_begin_with_their_values():
    attention, tokens = Attention(LATENT), tokens_of(BLOCK + 20)
    results = []
    for threads, chunks in ((1, [MOST]), (3, [1]), (2, [7, 64, 3]), (4, [MOST, 1])):
        runner = attention.cpu(types("f16"), threads)
        results.append(rows_of(runner, tokens, chunks))
        runner.close()
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


class WithFurther(Attention):
    """Further keys and values, of which the last of so many positions each are seen."""

    def __init__(self, heads: Heads, stride: int, sinks: Weight | None = None) -> None:
        super().__init__(heads, sinks)
        self.heads = replace(heads, layer=1, window=None, stride=stride)
        self.more = [
            weight(V, heads.kv_heads * width) for width in (heads.key_columns, heads.values)
        ]

    def forward(self, ops):
        q, k, v, *more = (ops.embed(table) for table in (*self.tables, *self.more))
        further = Further(*more, self.heads)
        return ops.attention(q, k, v, self.layers[0], self._sinks, further)


@pytest.mark.parametrize("stride", [1, 4, 128])
@pytest.mark.parametrize("window", [None, 7, 70])
def test_further_keys_take_part_in_the_same_softmax(window, stride):
    attention = WithFurther(Heads(0, 6, 2, 20, 0.3, window), stride, weight(1, 6))
    check(attention, types(), [MOST, 3, 1], 2 * BLOCK + 9)


def test_threads_and_chunks_do_not_show_with_further_keys():
    attention, tokens = WithFurther(Heads(0, 6, 2, 20, 0.3, 9), 4), tokens_of(BLOCK + 30)
    results = []
    for threads, chunks in ((1, [MOST]), (3, [7]), (2, [1])):
        cpu = attention.cpu(types("f16"), threads)
        results.append(rows_of(cpu, tokens, chunks))
        cpu.close()
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])
