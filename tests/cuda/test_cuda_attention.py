"""Attention on a card: against the NumPy definition, and that no way shows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from emulated import open_with_all_kernels

from ops.cuda.cache import CardStateLayout
from ops.cuda.kernels.attention import cached
from ops.cuda.kernels.operands import HeadNorms, HeadRows, Rotation
from ops.cuda.lowering import attending
from ops.cuda.lowering.attending import NO_NORMS, NO_ROTATION, AttentionBuffers, AttentionStep
from ops.interface import BLOCK, Heads, Linear, Rope, Step, Weight
from ops.operations.attention import pages_of
from ops.operations.base import Pages
from ops.reference.cache import PlainCache
from ops.reference.operators import Reference
from ops.state.blocks import BlockPool
from ops.state.layout import StateLayout
from ops.state.sequence import SequenceState, reserve
from quant.errors import UsageError
from quant.format import FORMATS

pytestmark = pytest.mark.emulated
TOLERANCE = 2e-3
"""Of the largest result: q and the softmax's weights go through float16 (2^-11 of each), and a q8_0
value is rounded once more."""

PAIRS = [("f16", "f16"), ("q8_0", "q8_0"), ("f16", "q8_0"), ("q8_0", "f16")]
SPLIT, WHOLE = 16, 0  # the most tokens that are split


def random(*shape: int, seed: int = 1):
    return np.random.default_rng((seed, *shape)).standard_normal(shape, dtype=np.float32)


@dataclass(frozen=True)
class Part:
    """Tokens of one sequence: from position `first` on; what stands before is in the cache."""

    sequence: int
    first: int
    count: int


def step_of(parts: Sequence[Part]) -> Step:
    positions = np.concatenate([np.arange(p.first, p.first + p.count) for p in parts])
    starts = np.cumsum([0, *(p.count for p in parts[:-1])]).tolist()
    tokens = np.zeros(len(positions), np.int32)
    return Step(tokens, positions.astype(np.int32), tokens[:0], tuple(starts))


class Model:
    """One layer of attention; the q, k, v of a sequence's positions are drawn from its number."""

    def __init__(self, heads: Heads, length: int, k: str = "f16", v: str = "f16", **more) -> None:
        self.heads, self.types, self.length = heads, (k, v), length
        self.sinks, self.norms, self.rope = (more.get(n) for n in ("sinks", "norms", "rope"))
        self.counts = heads.query_heads, heads.kv_heads, heads.kv_heads

    def numbers(self, parts: Sequence[Part]):
        """q, k, v: (T, heads·d)."""
        whole = [
            [
                random(self.length, n * self.heads.head_width, seed=10 * p.sequence + i)
                for p in parts
            ]
            for i, n in enumerate(self.counts)
        ]
        return [
            np.concatenate([w[p.first : p.first + p.count] for w, p in zip(ws, parts, strict=True)])
            for ws in whole
        ]

    def before(self, parts: Sequence[Part]) -> list[Part]:
        return [Part(p.sequence, 0, p.first) for p in parts if p.first]


def weight(values) -> Weight:
    data = np.ascontiguousarray(values, np.float32).reshape(1, -1)
    return Weight("w", FORMATS["F32"], data.shape[1], data.view(np.uint8))


def weight_values(w: Weight):
    return w.data.view(np.float32)


def pack(memory, rows, head: int, model: Model, which: str) -> None:
    """One kv head's rows (n, K·d) into its piece of a block, as `cached` draws it."""
    width, kind = model.heads.head_width, model.types[which == "v"]
    size = cached.padded(width)
    x = np.zeros((len(rows), size), np.float32)
    x[:, :width] = rows[:, head * width : (head + 1) * width]
    position, dimension = np.arange(len(rows))[:, None], np.arange(size)
    place = position * size + dimension if which == "k" else cached.value_place(position, dimension)
    if kind == "f16":
        memory[: 2 * BLOCK * size].view(np.float16)[place] = x
        return
    parts = x.reshape(len(x), size // 32, 32)
    scale = np.abs(parts).max(-1) / np.float32(127)  # (n, P / 32)
    inverse = np.float32(1) / np.where(scale > 0, scale, np.float32(1))  # the padding is zero
    memory[place] = (np.rint(parts * inverse[..., None]) + 128).reshape(x.shape)
    scale_place = cached.key_scale_place if which == "k" else cached.value_scale_place
    at = scale_place(position, np.arange(size // 32)) // 2
    memory[BLOCK * size : BLOCK * (size + size // 16)].view(np.float16)[at] = scale


def prepared(model: Model, reference: Reference, q, k):
    if model.norms is not None:
        q, k = (
            reference.rms_norm(x, Linear(weight(w)), 1e-5, w.shape[-1])
            for x, w in zip((q, k), model.norms, strict=True)
        )
    if model.rope is not None:
        q, k = reference.rope(q, model.rope), reference.rope(k, model.rope)
    return q, k


def expected(model: Model, parts: Sequence[Part]):
    """(T, H·d), by the definition."""
    pool = BlockPool(StateLayout((pages_of(model.heads),), k="f32", v="f32"))
    caches = {p.sequence: SequenceState(pool) for p in parts}

    def run(some: Sequence[Part]):
        step = step_of(some)
        reserve(step, [caches[p.sequence] for p in some])
        plain = [PlainCache(caches[p.sequence], *model.types) for p in some]
        reference = Reference(step, plain, weight_values)
        q, k, v = model.numbers(some)
        q, k = prepared(model, reference, q, k)
        sinks = None if model.sinks is None else weight(model.sinks)
        return reference, (q, k, v, model.heads, sinks)

    if before := model.before(parts):
        reference, (_, k, v, heads, _) = run(before)
        reference.keep(k, v, heads)
    reference, operands = run(parts)
    return reference.attention(*operands)


class Card:
    """A card with the cache of a model's sequences."""

    def __init__(self, model: Model, *, falling: bool = False) -> None:
        self.model, self.device = model, open_with_all_kernels(falling=falling)
        self.layout = CardStateLayout((pages_of(model.heads),), (), 0, *model.types)
        self.tables: dict[int, int] = {}
        self.blocks: dict[int, list[int]] = {}

    def fill(self, parts: Sequence[Part]) -> None:
        """The cache as if the parts had entered, but fast: it is packed here."""
        model, (k_at, v_at) = self.model, self.layout.offsets(0)
        for part in parts:
            q, k, v = model.numbers([part])
            plain = Reference(step_of([part]), [PlainCache(None, *model.types)], weight_values)
            _, k = prepared(model, plain, q, k)
            for n, address in enumerate(self.blocks_of(part.sequence)):
                block = self.down(address)
                rows = slice(n * BLOCK, min((n + 1) * BLOCK, part.count))
                for head in range(model.heads.kv_heads):
                    at = k_at + head * self.layout.key_bytes(pages_of(model.heads))
                    pack(block[at:], k[rows], head, model, "k")
                    at = v_at + head * self.layout.value_bytes(pages_of(model.heads))
                    pack(block[at:], v[rows], head, model, "v")
                self.device.upload(address, block)

    def up(self, array) -> int:
        address = self.device.allocate(max(array.nbytes, 16))
        self.device.upload(address, array)
        return address

    def table(self, sequence: int) -> int:
        if sequence not in self.tables:
            blocks = [
                self.device.allocate(self.layout.block_bytes)
                for _ in range(-(-self.model.length // BLOCK))
            ]
            self.blocks[sequence] = blocks
            self.tables[sequence] = self.up(np.array(blocks, np.int64))
        return self.tables[sequence]

    def blocks_of(self, sequence: int) -> list[int]:
        self.table(sequence)
        return self.blocks[sequence]

    def down(self, address: int):
        block = np.empty(self.layout.block_bytes, np.uint8)
        self.device.download(address, block)
        return block

    def places(self, parts: Sequence[Part], positions=None) -> AttentionStep:
        step, tokens = step_of(parts), sum(p.count for p in parts)
        tables = np.repeat([self.table(p.sequence) for p in parts], [p.count for p in parts])
        positions = step.positions if positions is None else positions
        count = attending.most_tiles(self.model.heads, tokens)
        tiles = attending.tiles(attending.tiles_of(self.model.heads), step.starts, tokens, count)
        return AttentionStep(self.up(tables), self.up(positions), self.up(tiles), count)

    def enter(self, parts: Sequence[Part], positions=None) -> tuple[int, AttentionStep]:
        """The address of the queries."""
        model, places = self.model, self.places(parts, positions)
        tokens, (q, k, v) = sum(p.count for p in parts), model.numbers(parts)
        rows = HeadRows(self.up(q), self.up(k), self.up(v), self.up(np.zeros_like(q)))
        norms = HeadNorms(*map(self.up, model.norms), 1e-5) if model.norms else NO_NORMS
        rotation = self.rotation(places, tokens, model.rope) if model.rope else NO_ROTATION
        args = model.heads, self.layout, tokens, places, rows, norms, rotation
        self.device.launch(attending.norm_rope_store(*args))
        return rows.q_out, places

    def rotation(self, places: AttentionStep, tokens: int, rope: Rope) -> Rotation:
        pairs = len(rope.frequencies)
        step = np.empty(tokens, np.int32)
        self.device.download(places.positions, step)
        angle = step[:, None] * rope.frequencies.astype(np.float64)
        table = np.stack([np.cos(angle), np.sin(angle)], -1).astype(np.float32)
        return Rotation(self.up(table), pairs, int(rope.interleaved))

    def run(self, parts: Sequence[Part], monkeypatch, split: int = SPLIT, blocks: int = 0):
        """(T, H·d)."""
        monkeypatch.setattr(attending, "SPLIT_TOKENS", split)
        model, tokens = self.model, sum(p.count for p in parts)
        q, places = self.enter(parts)
        blocks = blocks or -(-model.length // BLOCK)
        y = np.zeros((tokens, model.heads.query_heads * model.heads.head_width), np.float32)
        scratch = attending.scratch_bytes(model.heads, tokens, blocks)
        sinks = 0 if model.sinks is None else self.up(model.sinks)
        results = AttentionBuffers(
            q, self.up(y), self.device.allocate(scratch) if scratch else 0, sinks
        )
        args = model.heads, self.layout, tokens, blocks, places, results
        for launch in attending.attend(*args):
            self.device.launch(launch)
        self.device.download(results.y, y)
        return y


def results(model: Model, parts: Sequence[Part], monkeypatch, *, falling=False, **way):
    card = Card(model, falling=falling)
    if before := model.before(parts):
        card.fill(before)
    return card.run(parts, monkeypatch, **way)


def check(model: Model, parts: Sequence[Part], monkeypatch, tolerance: float = TOLERANCE) -> None:
    """Close to the definition, and split or not the same bits."""
    want = expected(model, parts)
    got = results(model, parts, monkeypatch)
    np.testing.assert_allclose(got, want, atol=tolerance * np.abs(want).max(), rtol=0)
    whole = results(model, parts, monkeypatch, split=WHOLE, falling=True)
    np.testing.assert_array_equal(whole, got)


@pytest.mark.parametrize(
    ("width", "group", "kv_heads"), [(16, 1, 2), (2, 4, 1), (48, 3, 1), (64, 8, 1), (80, 20, 1)]
)
def test_any_group_and_any_width(width, group, kv_heads, monkeypatch):
    heads = Heads(0, group * kv_heads, kv_heads, width, width**-0.5)
    check(Model(heads, 270), [Part(0, 255, 1 if group > 16 else 3)], monkeypatch)


@pytest.mark.parametrize(("k", "v"), PAIRS)
@pytest.mark.parametrize("width", [32, 96])
def test_any_types_of_keys_and_values(k, v, width, monkeypatch):
    heads = Heads(0, 4, 2, width, width**-0.5)
    check(Model(heads, 258, k, v), [Part(0, 254, 4)], monkeypatch)


@pytest.mark.parametrize("width", [160, 256])
def test_wide_heads(width, monkeypatch):
    heads = Heads(0, 2, 1, width, width**-0.5)
    check(Model(heads, 20, "q8_0", "f16"), [Part(0, 17, 3)], monkeypatch)


@pytest.mark.parametrize("window", [1, 3, 200, BLOCK, BLOCK + 5])
def test_windows_over_the_borders_of_blocks(window, monkeypatch):
    heads = Heads(0, 2, 1, 16, 0.2, window)
    check(Model(heads, 2 * BLOCK + 9), [Part(0, 2 * BLOCK - 1, 4)], monkeypatch)


def test_soft_cap_and_sinks(monkeypatch):
    heads = Heads(0, 4, 2, 32, 0.6, None, 5.0)
    check(Model(heads, 262, sinks=random(4)), [Part(0, 255, 2)], monkeypatch)


def test_large_scores_do_not_overflow(monkeypatch):
    """Scores near 2000, of which float16 takes a thousandth part: one key has all the weight."""
    heads = Heads(0, 2, 1, 16, 100.0)
    check(Model(heads, 40, sinks=random(2)), [Part(0, 30, 3)], monkeypatch, 0.5)


@pytest.mark.parametrize(("k", "v"), PAIRS)
def test_entering_packs_the_cache_as_it_is_drawn(k, v):
    """What stands before and behind the tokens stays as it was."""
    model = Model(Heads(0, 2, 2, 64, 1.0), BLOCK + 4, k, v)
    memories = []
    for way in (Card.enter, Card.fill):
        card = Card(model)
        card.fill([Part(1, 0, BLOCK + 4)])
        for mine, other in zip(card.blocks_of(0), card.blocks_of(1), strict=True):
            card.device.copy(other, mine, card.layout.block_bytes)
        card.fill([Part(0, 0, BLOCK - 3)])
        way(card, [Part(0, BLOCK - 3, 7)] if way is Card.enter else [Part(0, 0, BLOCK + 4)])
        memories.append([card.down(address) for address in card.blocks_of(0)])
    np.testing.assert_array_equal(*memories)


@pytest.mark.parametrize("interleaved", [False, True])
def test_heads_are_normalised_and_turned_on_their_way(interleaved, monkeypatch):
    heads = Heads(0, 4, 2, 48, 0.15)
    rope = Rope(np.float32(100) ** -(np.arange(16, dtype=np.float32) / 16), 48, interleaved)
    norms = random(48, seed=2), random(48, seed=3)
    model = Model(heads, 270, norms=norms, rope=rope)
    check(model, [Part(0, 254, 5)], monkeypatch)


MIXED = [Part(0, BLOCK - 2, 4), Part(1, 3, 1), Part(2, 0, 5), Part(3, BLOCK, 1)]


@pytest.mark.parametrize(("group", "window", "k"), [(4, None, "f16"), (1, 100, "q8_0")])
def test_sequences_in_one_step_do_not_see_each_other(group, window, k, monkeypatch):
    """Prefill of some beside single tokens of others: each as if it were alone, token by token."""
    heads = Heads(0, group, 1, 32, 0.2, window)
    model = Model(heads, 2 * BLOCK, k, k, sinks=random(group))
    together = results(model, MIXED, monkeypatch)
    np.testing.assert_array_equal(results(model, MIXED, monkeypatch, split=WHOLE), together)
    alone = [
        results(model, [Part(part.sequence, part.first + n, 1)], monkeypatch)
        for part in MIXED
        for n in range(part.count)
    ]
    np.testing.assert_array_equal(np.concatenate(alone), together)
    want = expected(model, MIXED)
    np.testing.assert_allclose(together, want, atol=TOLERANCE * np.abs(want).max(), rtol=0)


def test_room_for_more_blocks_does_not_show(monkeypatch):
    """A step that was captured for a longer context."""
    model = Model(Heads(0, 2, 1, 16, 0.2), 270)
    parts = [Part(0, 255, 3)]
    got = [results(model, parts, monkeypatch, blocks=blocks) for blocks in (2, 5)]
    np.testing.assert_array_equal(*got)


@pytest.mark.parametrize(("k", "v"), [("f16", "f16"), ("q8_0", "q8_0")])
def test_old_values_of_a_block_do_not_leak(k, v, monkeypatch):
    model = Model(Heads(0, 3, 1, 32, 0.3, 70), BLOCK + 40, k, v)
    got = []
    for fill in (0, 255):  # all bits set: no number in f16
        card = Card(model)
        for address in card.blocks_of(0):
            card.device.upload(address, np.full(card.layout.block_bytes, fill, np.uint8))
        card.fill([Part(0, 0, BLOCK + 3)])
        got.append(card.run([Part(0, BLOCK + 3, 4)], monkeypatch))
    assert np.isfinite(got[0]).all()
    np.testing.assert_array_equal(*got)


def test_a_value_that_overflows_is_not_seen_before_its_position(monkeypatch):
    """It becomes the largest float16, so that 0 times it is 0 for those who stand before it."""
    model = Model(Heads(0, 1, 1, 16, 0.3), 20)
    plain = model.numbers
    usual = results(model, [Part(0, 3, 5)], monkeypatch)

    def numbers(parts):
        q, k, v = plain(parts)
        return q, k, np.where(np.arange(len(v))[:, None] == 2, np.float32(1e9), v)

    card = Card(model)
    card.fill([Part(0, 0, 3)])
    model.numbers = numbers
    got = card.run([Part(0, 3, 5)], monkeypatch)
    np.testing.assert_array_equal(got[:2], usual[:2])
    assert np.isfinite(got).all() and (got[2:] > 100).all()


def test_a_token_of_no_position_stores_nothing():
    model = Model(Heads(0, 1, 1, 32, 1.0), 4)
    card = Card(model)
    (address,) = card.blocks_of(0)
    before = card.down(address)
    nowhere = np.full(2, -1, np.int32)
    card.enter([Part(0, 0, 2)], nowhere)
    np.testing.assert_array_equal(card.down(address), before)


@pytest.mark.parametrize(("k", "v"), PAIRS)
def test_a_block_has_room_for_the_layers_that_are_here(k, v):
    layout = CardStateLayout((Pages(1, 2, 64, 64), Pages(3, 2, 64, 64)), (), 0, k, v)
    places = [*(place for n in (1, 3) for place in layout.offsets(n)), layout.block_bytes]
    key, value = (BLOCK * 2 * {"f16": 128, "q8_0": 68}[kind] for kind in (k, v))
    assert places[0] == 0 and np.diff(places).tolist() == [key, value, key, value]
    assert [layout.position_bytes(n) for n in (1, 3)] == [(key + value) // BLOCK] * 2


def test_what_a_card_cannot_hold_is_refused():
    with pytest.raises(UsageError, match="f32") as refusal:
        CardStateLayout((Pages(0, 1, 64, 64),), k="f32")
    assert "-ctk f16 -ctv f16" in str(refusal.value.hint)
    with pytest.raises(UsageError, match="80"):
        CardStateLayout((Pages(0, 1, 80, 80),), v="q8_0")
