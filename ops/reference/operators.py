"""Every operator computed at once, as plainly as it can be written: slow and obvious."""

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ops.interface import (
    BLOCK,
    Activation,
    DeltaHeads,
    ExpertChoice,
    Further,
    Heads,
    Linear,
    Ngrams,
    Rope,
    Routing,
    Step,
    Weight,
)
from ops.operations.base import Slot
from ops.operations.recurrence import matrices
from ops.reference.arithmetic import ACTIVATIONS, GATINGS, Floats, exact, sigmoid, softmax
from ops.reference.cache import PlainCache
from ops.reference.recurrence import (
    attend,
    attend_corrected,
    fold,
    learn,
    ngram_rows,
    scan,
    unfolded,
)


class Reference:
    """`Operators` on NumPy arrays, for one step over its sequences' caches."""

    def __init__(
        self,
        step: Step,
        caches: Sequence[PlainCache],
        values: Callable[[Weight], Floats],
        entering: Callable[[Weight, Floats], Floats] = exact,
    ) -> None:
        """`entering` is what becomes of activations that meet a weight."""
        self.step, self.values, self.entering = step, values, entering
        self.sequences, self.number = caches, -1
        self._given = iter(step.given)
        self._slots = Counter[tuple[int, str]]()  # how many were met
        runs = zip(step.runs(), caches, strict=True)
        self.caches = [cache for run, cache in runs for _ in range(run.start, run.stop)]  # (T,)

    def layer(self, number: int) -> "Reference":
        bound = copy.copy(self)
        bound.number = number
        return bound

    def embed(self, table: Weight) -> Floats:
        return self.values(table)[self.step.tokens]

    def given(self, width: int) -> Floats:
        return next(self._given)

    def embed_positions(self, table: Weight) -> Floats:
        return self.values(table)[self.step.positions]

    def embed_ngrams(self, table: Weight, ngrams: Ngrams) -> Floats:
        before = len(ngrams.multipliers) - 1
        slot, values = self._slot("n-grams", (before,)), self.values(table)
        rows = list[Floats]()
        for run, cache in zip(self.step.runs(), self.sequences, strict=True):
            kept = cache.slot(slot)  # tokens + 1; 0 before the first
            tokens = [*(kept.astype(np.int64) - 1), *self.step.tokens[run].astype(np.int64)]
            for n in range(before, len(tokens)):
                rows.append(values[ngram_rows(tokens[n - before : n + 1], ngrams)].reshape(-1))
            kept[:] = np.array(tokens[len(tokens) - before :]) + 1
        return np.stack(rows)

    def linear(self, w: Linear, x: Floats) -> Floats:
        scale, x = self.values(w.scale)[0] if w.scale else 1, self.entering(w.weight, x)
        return x @ self.values(w.weight).T * scale + self._bias(w)

    def rms_norm(
        self, x: Floats, w: Linear | int, eps: float, stretch: int | None = None
    ) -> Floats:
        width = w if isinstance(w, int) else stretch or x.shape[1]
        parts = x.reshape(len(x), x.shape[1] // width, width)
        mean = np.mean(parts * parts, -1, keepdims=True, dtype=np.float64)
        y: Floats = parts * (1 / np.sqrt(mean + eps)).astype(np.float32)
        if not isinstance(w, int):
            y = y * self.values(w.weight)  # (1 or stretches, width)
        return y.reshape(x.shape)

    def layer_norm(
        self, x: Floats, w: Linear | int, eps: float, stretch: int | None = None
    ) -> Floats:
        width = w if isinstance(w, int) else stretch or x.shape[1]
        parts = x.reshape(len(x), x.shape[1] // width, width)
        centred = parts - parts.mean(-1, keepdims=True)
        variance = np.mean(centred * centred, -1, keepdims=True)
        y: Floats = centred / np.sqrt(variance + np.float32(eps))
        if not isinstance(w, int):
            y = y * self.values(w.weight) + (self.values(w.bias) if w.bias else 0)
        return y.reshape(x.shape)

    def rope(self, x: Floats, rope: Rope) -> Floats:
        pairs = len(rope.frequencies)
        y = x.reshape(len(x), -1, rope.head_width).copy()  # (T, heads, d)
        places = self.step.positions[:, None, None] - rope.start
        angle = places * rope.frequencies.astype(np.float64)
        cos = (np.cos(angle) * rope.magnitude).astype(np.float32)
        sin = (np.sin(angle) * rope.magnitude).astype(np.float32)
        turned = slice(0, 2 * pairs)
        if rope.interleaved:
            first, second = y[..., turned][..., 0::2], y[..., turned][..., 1::2]
        else:
            first, second = y[..., :pairs], y[..., pairs : 2 * pairs]
        a, b = first.copy(), second.copy()
        first[...], second[...] = a * cos - b * sin, a * sin + b * cos
        return y.reshape(x.shape)

    def temperature(self, x: Floats, scale: float, period: int, offset: int = 0) -> Floats:
        factor = 1 + scale * np.log1p((self.step.positions + offset) // period)
        grown: Floats = x * factor[:, None].astype(np.float32)
        return grown

    def attention(
        self,
        q: Floats,
        k: Floats | None,
        v: Floats | None,
        heads: Heads,
        sinks: Weight | None = None,
        further: Further | None = None,
        biases: Weight | None = None,
    ) -> Floats:
        if k is not None and v is not None:
            self.keep(k, v, heads)
        if further is not None:
            self.keep(further.k, further.v, further.heads)
        also = (further.heads,) if further else ()
        return np.stack([self._attend(t, q[t], heads, sinks, also, biases) for t in range(len(q))])

    def keep(self, k: Floats, v: Floats, heads: Heads) -> None:
        for t, position in enumerate(self.step.positions):
            self.caches[t].keep(heads.layer, int(position), k[t], v[t])

    def compress(self, x: Floats, places: Weight, ratio: int, parts: int) -> Floats:
        added: Floats = self.values(places)  # (ratio, P·w)
        width = added.shape[1] // parts
        slot = self._slot("compression", (parts * ratio - 1, x.shape[1]))
        y = np.zeros((len(x), width), np.float32)
        for run, cache in zip(self.step.runs(), self.sequences, strict=True):
            kept = cache.slot(slot)
            rows = np.concatenate([kept, x[run]])
            for n, position in enumerate(self.step.positions[run]):
                if (position + 1) % ratio == 0:
                    last = rows[n : n + parts * ratio].reshape(parts, ratio, 2, parts, width)
                    values, scores = (
                        np.stack([last[part, :, kind, part] for part in range(parts)])
                        for kind in range(2)
                    )  # (P, ratio, w)
                    scores = scores + added.reshape(ratio, parts, width).swapaxes(0, 1)
                    there = min(parts * ratio, int(position) + 1)
                    values, scores = (
                        each.reshape(parts * ratio, width)[-there:] for each in (values, scores)
                    )
                    y[run.start + n] = (values * softmax(scores.T).T).sum(0)
            kept[:] = rows[len(rows) - len(kept) :]
        return y

    def convolve(self, x: Floats, w: Linear) -> Floats:
        taps: Floats = self.values(w.weight)  # (D, K)
        slot = self._slot("convolution", (taps.shape[1] - 1, x.shape[1]))
        y = np.empty_like(x)
        for run, cache in zip(self.step.runs(), self.sequences, strict=True):
            kept = cache.slot(slot)
            rows = np.concatenate([kept, x[run]])  # (K - 1 + tokens, D)
            windows = np.lib.stride_tricks.sliding_window_view(rows, taps.shape[1], 0)
            y[run] = np.einsum("tdk,dk->td", windows, taps)
            kept[:] = rows[len(rows) - len(kept) :]
        return y + self._bias(w)

    def shift(self, x: Floats) -> Floats:
        slot, y = self._slot("shift", (1, x.shape[1])), np.empty_like(x)
        for run, cache in zip(self.step.runs(), self.sequences, strict=True):
            kept = cache.slot(slot)
            y[run] = np.concatenate([kept, x[run][:-1]])
            kept[:] = x[run][-1]
        return y

    def selective_scan(
        self,
        x: Floats,
        delta: Floats,
        b: Floats,
        c: Floats,
        rates: Weight,
        skip: Weight,
        groups: int,
    ) -> Floats:
        total, heads = delta.shape
        rate = self.values(rates).reshape(heads, -1)  # (H, 1 or d)
        values: Floats = x.reshape(total, heads, -1)  # (T, H, e)
        entering, decay = delta[..., None] * values, np.exp(delta[..., None] * rate)
        if rate.size == heads:
            decay = decay[..., None]  # (T, H, 1, 1)
        else:  # heads of one column are the columns of one matrix
            entering, decay = entering.swapaxes(1, 2), decay.swapaxes(1, 2)[:, None]
        shared = entering.shape[1] // groups
        b, c = (each.reshape(total, groups, -1).repeat(shared, 1) for each in (b, c))

        def scan_run(state: Floats, run: slice) -> Iterator[Floats]:
            return scan(state, decay[run], b[run], entering[run], c[run])

        shape = matrices(entering.shape[1], b.shape[2], entering.shape[2])
        slot = self._slot("selective scan", shape)
        y = self._through_runs(slot, entering.shape[2], scan_run)
        skipped: Floats = self.values(skip).reshape(heads, 1) * values
        return y + skipped.reshape(x.shape)

    def linear_attention(
        self,
        q: Floats,
        k: Floats,
        v: Floats,
        decay: Floats,
        heads: int,
        bonus: Weight | None = None,
        correction: tuple[Floats, Floats] | None = None,
    ) -> Floats:
        parts = [each.reshape(len(v), heads, -1) for each in (q, k, v, decay, *(correction or ()))]
        times = None if bonus is None else self.values(bonus).reshape(heads, -1)

        def attend_run(state: Floats, run: slice) -> Iterator[Floats]:
            q, k, v, decay, *more = (part[run] for part in parts)
            if more:
                return attend_corrected(state, q, k, v, decay, *more)
            return attend(state, q, k, v, decay, times)

        columns = v.shape[1] // heads
        slot = self._slot("linear attention", matrices(heads, q.shape[1] // heads, columns))
        return self._through_runs(slot, columns, attend_run)

    def delta_rule(
        self, q: Floats, k: Floats, v: Floats, decay: Floats, rate: Floats, heads: DeltaHeads
    ) -> Floats:
        numbers = np.arange(heads.heads)
        repeated = heads.heads // heads.key_heads
        key_of = numbers // repeated if heads.grouped else numbers % heads.key_heads
        queries, keys = (a.reshape(len(a), heads.key_heads, -1)[:, key_of] for a in (q, k))
        values, factors = (a.reshape(len(a), heads.heads, -1) for a in (v, decay))

        def learn_run(state: Floats, run: slice) -> Iterator[Floats]:
            return learn(state, queries[run], keys[run], values[run], factors[run], rate[run])

        shape = matrices(heads.heads, heads.key_width, heads.value_width)
        slot = self._slot("delta rule", shape)
        y: Floats = self._through_runs(slot, heads.value_width, learn_run)
        return y * np.float32(heads.scale)

    def multiply(self, x: Floats, y: Floats) -> Floats:
        product: Floats = x.reshape(*y.shape, -1) * y[:, :, None]
        return product.reshape(x.shape)

    def scale_by(self, x: Floats, w: Linear) -> Floats:
        factors: Floats = self.values(w.weight)[0]  # (n,)
        product: Floats = x * np.repeat(factors, x.shape[1] // len(factors))
        return product

    def columns(self, x: Floats, start: int, stop: int, stretch: int | None = None) -> Floats:
        place = np.arange(x.shape[1]) % (stretch or x.shape[1])
        kept: Floats = x[:, (place >= start) & (place < stop)]
        return kept

    def sums(self, x: Floats, stretch: int) -> Floats:
        total: Floats = x.reshape(len(x), -1, stretch).sum(-1)
        return total

    def join(self, parts: Sequence[Floats], stretches: int = 1) -> Floats:
        apart = [np.split(part, stretches, 1) for part in parts]
        return np.concatenate([one for together in zip(*apart, strict=True) for one in together], 1)

    def add(self, x: Floats, y: Floats) -> Floats:
        return x + y

    def mix(self, x: Floats, c: Floats, streams: int) -> Floats:
        factors = c.reshape(len(c), -1, streams)  # (T, R, S)
        y: Floats = factors @ x.reshape(len(x), streams, -1)  # (T, R, D)
        return y.reshape(len(x), -1)

    def balance(self, x: Floats, streams: int, iterations: int, eps: float) -> Floats:
        e = np.float32(eps)
        c = softmax(x.reshape(len(x), streams, streams)) + e  # (T, S, R)
        c = c / (c.sum(1, keepdims=True) + e)
        for _ in range(iterations - 1):
            c = c / (c.sum(2, keepdims=True) + e)
            c = c / (c.sum(1, keepdims=True) + e)
        y: Floats = c.swapaxes(1, 2)
        return y.reshape(x.shape)

    def gaussian_top_k(self, x: Floats, deviations: float) -> Floats:
        centred = x - x.mean(-1, keepdims=True)
        deviation = np.sqrt(np.sum(centred * centred, -1, keepdims=True) / (x.shape[1] - 1))
        above: Floats = np.maximum(centred - np.float32(deviations) * deviation, np.float32(0))
        return above

    def scale(self, x: Floats, factor: float) -> Floats:
        return x * np.float32(factor)

    def clamp(self, x: Floats, low: float, high: float) -> Floats:
        return np.clip(x, np.float32(low), np.float32(high))

    def softcap(self, x: Floats, cap: float) -> Floats:
        return np.float32(cap) * np.tanh(x / np.float32(cap))

    def activate(self, x: Floats, activation: Activation) -> Floats:
        return ACTIVATIONS[activation](x)

    def gate(self, gate: Floats, up: Floats, activation: Activation) -> Floats:
        if activation == "clamped_swiglu":
            g, u = np.minimum(gate, np.float32(7)), np.clip(up, np.float32(-7), np.float32(7))
            clamped: Floats = g * sigmoid(np.float32(1.702) * g) * (u + 1)
            return clamped
        return ACTIVATIONS[activation](gate) * up

    def route(
        self,
        logits: Floats,
        routing: Routing,
        bias: Weight | None = None,
        listed: Floats | None = None,
    ) -> ExpertChoice:
        scores = GATINGS[routing.gating](logits)  # (T, E)
        wanted = scores if bias is None else scores + self.values(bias)
        if routing.groups > 1:
            groups = wanted.reshape(len(wanted), routing.groups, -1)  # (T, groups, E / groups)
            best = np.sort(groups, -1)[..., -2:].sum(-1)
            order = np.argsort(-best, -1, kind="stable")[:, routing.used_groups :]
            np.put_along_axis(groups := groups.copy(), order[..., None], -np.inf, 1)
            wanted = groups.reshape(wanted.shape)
        ids = np.argsort(-wanted, -1, kind="stable")[:, : routing.used].astype(np.int32)
        ids //= routing.neighbours
        if listed is not None:
            ids = listed.astype(np.int32)
        weights = np.take_along_axis(scores, ids, -1)
        if routing.gating == "softmax_of_chosen":
            weights = softmax(weights)
        elif routing.normalize:
            weights = weights / np.maximum(weights.sum(-1, keepdims=True), np.float32(6.1e-5))
        return ExpertChoice(ids, weights * np.float32(routing.scale), routing.experts)

    def expert_linear(self, w: Linear, x: Floats, chosen: ExpertChoice) -> Floats:
        ids = chosen.ids.reshape(-1)  # (T·k,)
        x = np.repeat(self.entering(w.weight, x), len(ids) // len(x), 0)
        matrices = self.values(w.weight).reshape(w.weight.experts, w.weight.rows, -1)
        biases = self.values(w.bias) if w.bias else np.zeros((w.weight.experts, 1), np.float32)
        scales = self.values(w.scale)[0] if w.scale else np.ones(w.weight.experts, np.float32)
        y = np.empty((len(ids), w.weight.rows), np.float32)
        for row, expert in enumerate(ids):
            y[row] = matrices[expert] @ x[row] * scales[expert] + biases[expert]
        return y

    def head_linear(self, w: Linear, x: Floats) -> Floats:
        heads = w.weight.experts
        apart = self.entering(w.weight, x).reshape(len(x), heads, w.weight.columns)
        matrices = self.values(w.weight).reshape(heads, w.weight.rows, -1)
        y: Floats = np.einsum("thn,hrn->thr", apart, matrices)
        return y.reshape(len(x), heads * w.weight.rows)

    def expert_sum(self, y: Floats, chosen: ExpertChoice) -> Floats:
        total: Floats = np.einsum("tkd,tk->td", y.reshape(*chosen.ids.shape, -1), chosen.weights)
        return total

    def select_outputs(self, x: Floats) -> Floats:
        return x[self.step.outputs]

    def _slot(self, name: str, shape: tuple[int, ...]) -> Slot:
        """The layer's next slot of this name, as the recorder counts them."""
        number = self._slots[self.number, name]
        self._slots[self.number, name] += 1
        return Slot(self.number, name, shape, number)

    def _through_runs(
        self, slot: Slot, columns: int, run_of: Callable[[Floats, slice], Iterator[Floats]]
    ) -> Floats:  # (T, H·e)
        """What `run_of` gives for each token, with the state (H, d, e) of its sequence."""
        rows: list[Floats] = []
        for run, cache in zip(self.step.runs(), self.sequences, strict=True):
            kept = cache.slot(slot)
            state = unfolded(kept, columns)
            rows += [row.reshape(-1) for row in run_of(state, run)]
            fold(state, kept)
        return np.stack(rows)

    def _bias(self, w: Linear) -> Floats | float:
        return self.values(w.bias)[0] if w.bias else 0.0

    def _attend(
        self,
        t: int,
        q: Floats,
        heads: Heads,
        sinks: Weight | None,
        also: Sequence[Heads],
        biases: Weight | None,
    ) -> Floats:
        position = int(self.step.positions[t])
        seen = [self._seen(t, each) for each in (heads, *also)]
        places, k, v = (np.concatenate(each) for each in zip(*seen, strict=True))
        group = heads.query_heads // heads.kv_heads
        query = q.reshape(heads.kv_heads, group, heads.head_width)
        scores = np.einsum("kgd,skd->kgs", query, k)
        if biases is not None:
            far = biases.columns // 2
            distances = np.clip(places - position, -far, far) + far
            scores = scores + self.values(biases)[:, distances].reshape(scores.shape)
        scores = scores * np.float32(heads.scale)
        if heads.softcap is not None:
            scores = self.softcap(scores, heads.softcap)
        if heads.slopes is not None:
            slopes = np.array(heads.slopes, np.float32).reshape(heads.kv_heads, group, 1)
            scores = scores - slopes * np.abs(places - position)
        if sinks is not None:
            sink = self.values(sinks).reshape(heads.kv_heads, group, 1)
            scores = np.concatenate([scores, sink], -1)
        shares = softmax(scores)[..., : len(k)]
        out: Floats = np.einsum("kgs,ske->kge", shares, v)
        return out.reshape(-1)

    def _seen(self, t: int, heads: Heads) -> tuple[Floats, Floats, Floats]:
        """The positions that a token sees, their keys (S, K, d) and values (S, K, e)."""
        position, end = np.array(self.step.positions[t]), np.array(self.step.ends()[t])
        first, stop = map(int, heads.visible(position, end))
        cache, count = self.caches[t], max(1, -(-stop // BLOCK))
        blocks = [cache.view(heads.layer, b) for b in range(count)]
        places = np.arange(first + heads.stride - 1, stop, heads.stride)
        keys, values = (np.concatenate(part)[places] for part in zip(*blocks, strict=True))
        k = keys.reshape(len(places), heads.kv_heads, heads.key_columns)
        v = values.reshape(len(places), heads.kv_heads, heads.values)
        if heads.keys_hold_values:
            k = np.concatenate([v, k], -1)
        return places, k, v
