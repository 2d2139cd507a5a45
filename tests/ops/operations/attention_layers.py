"""Layers of attention alone, which the tests run on the CPU and by the NumPy definition."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from passes import open_on_cpu

from ops.backend import CacheTypes
from ops.interface import Further, Heads, Step, Weight
from ops.memory_plan import Limits
from ops.recorder import record
from ops.reference.runner import ReferenceRunner
from ops.state.formats import CacheType
from ops.state.sequence import SequenceState
from quant.format import FORMATS

RANDOM = np.random.default_rng(3)
V = 40  # different tokens
MOST = 100  # tokens a pass
TOLERANCE = {"f32": 1e-5, "f16": 1e-5, "bf16": 1e-5, "q8_0": 2e-3}
TOLERANCE |= dict.fromkeys(("q5_1", "q5_0"), 2e-2) | dict.fromkeys(("q4_1", "iq4_nl", "q4_0"), 4e-2)
"""Where elements share a scale, a number may round to its neighbour."""
LATENT = Heads(0, 5, 1, 96, 0.2, value_width=64, keys_hold_values=True)


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


def step_of(parts) -> Step:
    """A step of (tokens, first position) of some sequences; every token is asked for."""
    tokens = np.concatenate([tokens for tokens, _ in parts])
    positions = [np.arange(first, first + len(tokens)) for tokens, first in parts]
    starts = np.cumsum([0, *(len(tokens) for tokens, _ in parts[:-1])]).tolist()
    outputs = np.arange(len(tokens), dtype=np.int32)
    return Step(tokens, np.concatenate(positions).astype(np.int32), outputs, tuple(starts))


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
