"""No division of attention's work shows: threads, chunks, other sequences, forks, wanted rows."""

from dataclasses import replace

import numpy as np
import pytest
from attention_layers import (
    LATENT,
    MOST,
    Attention,
    V,
    WithFurther,
    rows_of,
    step_of,
    tokens_of,
    types,
    weight,
)

from ops.interface import BLOCK, Heads
from ops.narrowing import narrow
from ops.operations.attention import Attention as AttentionOperation
from ops.recorder import record
from ops.reference.runner import ReferenceRunner
from ops.state.sequence import SequenceState


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


@pytest.mark.weekly
@pytest.mark.parametrize("window", [None, 100])
def test_values_that_are_unpacked_for_many_tokens_give_the_same_bytes(window):
    attention, tokens = Attention(Heads(0, 4, 2, 64, 0.2, window)), tokens_of(BLOCK + 40)
    runner = attention.cpu(types("f32", "q8_0"), threads=1)
    whole = rows_of(runner, tokens, [MOST])
    one_by_one = rows_of(runner, tokens, [*[MOST] * (BLOCK // MOST), 1])
    runner.close()
    np.testing.assert_array_equal(whole, one_by_one)


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


def test_no_division_of_work_shows_where_keys_begin_with_their_values():
    attention, tokens = Attention(LATENT), tokens_of(BLOCK + 20)
    results = []
    for threads, chunks in ((1, [MOST]), (3, [1]), (2, [7, 64, 3]), (4, [MOST, 1])):
        runner = attention.cpu(types("f16"), threads)
        results.append(rows_of(runner, tokens, chunks))
        runner.close()
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def test_threads_and_chunks_do_not_show_with_further_keys():
    attention, tokens = WithFurther(Heads(0, 6, 2, 20, 0.3, 9), 4), tokens_of(BLOCK + 30)
    results = []
    for threads, chunks in ((1, [MOST]), (3, [7]), (2, [1])):
        cpu = attention.cpu(types("f16"), threads)
        results.append(rows_of(cpu, tokens, chunks))
        cpu.close()
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])
