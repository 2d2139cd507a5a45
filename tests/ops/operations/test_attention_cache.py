"""Attention over each type of keys and values, and what a block of the cache holds."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from attention_layers import LATENT, Attention, check, rows_of, tokens_of, types

from ops.cpu.lower import scratch_bytes
from ops.interface import BLOCK, Heads
from ops.memory_plan import Limits
from ops.operations.attention import Attention as AttentionOperation
from ops.operations.base import Pages
from ops.recorder import record
from ops.state.blocks import BlockPool
from ops.state.formats import CACHE_TYPES, CODED, CacheType
from ops.state.layout import StateLayout
from ops.state.sequence import SequenceState
from quant.errors import UsageError

FEW = ("f16", "f32", "q8_0")
"""Types of each run; the others are tested weekly, as each pair takes ten seconds to compile."""


def marked(kind: CacheType) -> list[pytest.MarkDecorator]:
    return [] if kind in FEW else [pytest.mark.weekly]


PAIRS = [
    *(pytest.param(kind, kind, marks=marked(kind)) for kind in CACHE_TYPES),
    *(pytest.param(*two, marks=pytest.mark.weekly) for two in pairwise(CACHE_TYPES)),
    pytest.param("q8_0", "f16", marks=pytest.mark.weekly),
]


@pytest.mark.parametrize(("k", "v"), PAIRS)
def test_any_types_of_keys_and_values(k, v):
    attention = Attention(Heads(0, 4, 2, 96, 0.05), layers=2)
    check(attention, types(k, v), [90, 1], 98)


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


def test_threads_have_room_for_the_unpacked_values_of_a_block_where_values_have_scales():
    program = record(Attention(Heads(0, 4, 2, 64, 0.2)).forward)
    op = next(op for op in program.operations if isinstance(op, AttentionOperation))
    sizes = {v: scratch_bytes(op, Limits(1, 1), StateLayout.of(program, v=v)) for v in CACHE_TYPES}
    for kind, size in sizes.items():
        assert (size >= 4 * 64 * BLOCK + sizes["f16"]) == (kind in CODED)


@pytest.mark.parametrize("kv", [("q8_0", "f16"), ("f16", "q8_0"), ("q4_0", "f32"), ("f16", "q5_1")])
def test_types_with_scales_refuse_heads_that_do_not_fit(kv):
    with pytest.raises(UsageError, match=r"q\d_\w cache .* 80"):
        StateLayout((Pages(0, 1, 80, 80),), (), 0, *kv)


@pytest.mark.parametrize(("k", "v"), PAIRS)
@pytest.mark.parametrize("width", [64, 96])  # 64: nothing follows the value
def test_keys_that_begin_with_their_values(k, v, width):
    check(Attention(replace(LATENT, head_width=width)), types(k, v), [5, 70, 1], BLOCK + 9)


def test_keys_that_begin_with_their_values_are_kept_once():
    layout = StateLayout.of(record(Attention(LATENT).forward), "f16", "f16")
    assert layout.position_bytes(0) == 2 * 96
