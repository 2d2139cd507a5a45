"""Writes a model down as a program: an `Operators` object that computes nothing.

It checks every shape, so that a file whose tensors do not fit is refused at load.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ops.interface import (
    Activation,
    Array,
    DeltaHeads,
    ExpertChoice,
    Further,
    Heads,
    Linear,
    Ngrams,
    Operators,
    Rope,
    Routing,
    Weight,
    check_widths,
)
from ops.operations.attention import Attention, Rotate, Store
from ops.operations.base import Buffer, Operation, Slot
from ops.operations.elementwise import (
    Activate,
    Add,
    Balance,
    Clamp,
    Columns,
    Gate,
    GaussianTopK,
    Join,
    Mix,
    Multiply,
    Scale,
    ScaleBy,
    SelectOutputs,
    Softcap,
    Sums,
    Temperature,
)
from ops.operations.experts import ExpertSum, Route
from ops.operations.norms import LayerNorm, RmsNorm
from ops.operations.products import Embed, ExpertProduct, HeadProduct, Product
from ops.operations.recurrence import (
    Compress,
    Convolve,
    DeltaRule,
    LinearAttention,
    NgramRows,
    SelectiveScan,
    Shift,
    matrices,
)
from ops.program import Output, Program, Source
from quant.errors import ModelFileError


@dataclass(slots=True)
class Recorder:
    """Writes down what a model's forward pass calls (see interface.Operators for the meanings)."""

    operations: list[Operation] = field(default_factory=list)
    number: int | None = None  # of the layer that is being recorded
    inputs: list[Buffer] = field(default_factory=list)

    def layer(self, number: int) -> "Recorder":
        return replace(self, number=number)

    def embed(self, table: Weight) -> Buffer:
        _check_experts(table, 1)
        return self._add(Embed(Buffer("tokens", 1, table.columns), table))

    def given(self, width: int) -> Buffer:
        self.inputs.append(Buffer("tokens", 1, width))
        return self.inputs[-1]

    def embed_positions(self, table: Weight) -> Buffer:
        _check_experts(table, 1)
        return self._add(Embed(Buffer("tokens", 1, table.columns), table, "positions"))

    def embed_ngrams(self, table: Weight, ngrams: Ngrams) -> Buffer:
        _check_experts(table, 1)
        for size, offset in zip(ngrams.sizes, ngrams.offsets, strict=True):
            if size < 1 or offset < 0 or offset + size > table.rows:
                taken = f"rows {offset} to {offset + size} are used"
                raise ModelFileError(f"the tensor {table.name} has {table.rows} rows, {taken}")
        slot = self._slot("n-grams", (len(ngrams.multipliers) - 1,))
        rows = Buffer("tokens", 1, len(ngrams.sizes))
        self._add(NgramRows(rows, ngrams, slot=slot))
        return self._add(Embed(rows.like(rows.width * table.columns), table, "rows", rows))

    def linear(self, w: Linear, x: Buffer) -> Buffer:
        self._check_product(w, x, 1)
        return self._add(Product(x, x.like(w.weight.rows), w))

    def rms_norm(
        self, x: Buffer, w: Linear | int, eps: float, stretch: int | None = None
    ) -> Buffer:
        if isinstance(w, int):
            self._check_stretch(x, w)
            return self._add(RmsNorm(x, x.like(), None, w, eps))
        for beside in (w.bias, w.scale):
            if beside:
                raise ModelFileError(f"the tensor {beside.name} has no place in this model")
        self._check_norm_weights(w.weight, x, stretch)
        return self._add(RmsNorm(x, x.like(), w, w.weight.columns, eps))

    def layer_norm(
        self, x: Buffer, w: Linear | int, eps: float, stretch: int | None = None
    ) -> Buffer:
        if isinstance(w, int):
            self._check_stretch(x, w)
            return self._add(LayerNorm(x, x.like(), None, w, eps))
        if w.scale:
            raise ModelFileError(f"the tensor {w.scale.name} has no place in this model")
        for each in (w.weight, w.bias or w.weight):
            self._check_norm_weights(each, x, stretch)
            check_widths(each.name, each.size, w.weight.size)
        return self._add(LayerNorm(x, x.like(), w, w.weight.columns, eps))

    def rope(self, x: Buffer, rope: Rope) -> Buffer:
        return self._add(Rotate(x, x.like(), rope))

    def temperature(self, x: Buffer, scale: float, period: int, offset: int = 0) -> Buffer:
        return self._add(Temperature(x, x.like(), scale, period, offset))

    def attention(
        self,
        q: Buffer,
        k: Buffer | None,
        v: Buffer | None,
        heads: Heads,
        sinks: Weight | None = None,
        further: Further | None = None,
        biases: Weight | None = None,
    ) -> Buffer:
        where = f"blk.{heads.layer if self.number is None else self.number}.attn"
        check_widths(f"{where}_q", q.width, heads.query_heads * heads.head_width)
        assert heads.slopes is None or len(heads.slopes) == heads.query_heads
        if sinks is not None:
            check_widths(sinks.name, sinks.columns, heads.query_heads)
            _check_vector(sinks)
        if biases is not None:
            assert biases.columns % 2, "distances lie on both sides of 0"
            check_widths(biases.name, biases.rows, heads.query_heads)
        if k is not None and v is not None:
            self.keep(k, v, heads)
        elif heads.sees != "prompt":  # which another program keeps
            self._check_kept(heads)
        out = q.like(heads.query_heads * heads.values)
        if further is None:
            return self._add(Attention(q, out, heads, sinks, biases=biases))
        check_widths(f"{where}_k", further.k.width, further.heads.kv_heads * heads.key_columns)
        check_widths(f"{where}_v", further.v.width, further.heads.kv_heads * heads.values)
        self.operations.insert(-1, Store(further.k, further.v, further.heads, layer=self.number))
        return self._add(Attention(q, out, heads, sinks, further=further.heads, biases=biases))

    def keep(self, k: Buffer, v: Buffer, heads: Heads) -> None:
        where = f"blk.{heads.layer if self.number is None else self.number}.attn"
        check_widths(f"{where}_k", k.width, heads.kv_heads * heads.key_columns)
        check_widths(f"{where}_v", v.width, heads.kv_heads * heads.values)
        self.operations.append(Store(k, v, heads, layer=self.number))

    def convolve(self, x: Buffer, w: Linear) -> Buffer:
        taps, name = w.weight.columns, w.weight.name
        check_widths(name, w.weight.rows, x.width)
        if w.bias:
            check_widths(w.bias.name, w.bias.columns, x.width)
        slot = self._slot("convolution", (taps - 1, x.width))
        return self._add(Convolve(x, x.like(), w, slot=slot))

    def compress(self, x: Buffer, places: Weight, ratio: int, parts: int) -> Buffer:
        _check_experts(places, 1)
        check_widths(places.name, places.rows, ratio)
        check_widths(places.name, 2 * places.columns, x.width)
        check_widths(places.name, places.columns // parts * parts, places.columns)
        slot = self._slot("compression", (parts * ratio - 1, x.width))
        return self._add(
            Compress(x, x.like(places.columns // parts), places, ratio, parts, slot=slot)
        )

    def shift(self, x: Buffer) -> Buffer:
        return self._add(Shift(x, x.like(), slot=self._slot("shift", (1, x.width))))

    def selective_scan(
        self,
        x: Buffer,
        delta: Buffer,
        b: Buffer,
        c: Buffer,
        rates: Weight,
        skip: Weight,
        groups: int,
    ) -> Buffer:
        heads, where = delta.width, f"blk.{self.number}.ssm"
        check_widths(f"{where}_x", x.width, x.width // heads * heads)
        check_widths(f"{where}_b", b.width, b.width // groups * groups)
        check_widths(f"{where}_c", c.width, b.width)
        check_widths(skip.name, skip.size, heads)
        rows = b.width // groups
        shape = matrices(heads, rows, x.width // heads)
        if rates.size != heads:  # heads of one column lie in one matrix, with a rate an element
            check_widths(rates.name, rates.size, x.width * rows)
            check_widths(f"{where}_b", b.width, rows)
            shape = matrices(1, rows, x.width)
        elif heads % groups:
            raise ModelFileError(f"{where} has {heads} heads in {groups} groups")
        slot = self._slot("selective scan", shape)
        return self._add(SelectiveScan(x, delta, b, c, x.like(), rates, skip, groups, slot=slot))

    def linear_attention(
        self,
        q: Buffer,
        k: Buffer,
        v: Buffer,
        decay: Buffer,
        heads: int,
        bonus: Weight | None = None,
        correction: tuple[Buffer, Buffer] | None = None,
    ) -> Buffer:
        removed, added = correction or (None, None)
        for name, each in (("key", k), ("decay", decay), ("k_k", removed), ("k_a", added)):
            if each is not None:
                check_widths(f"blk.{self.number}.time_mix_{name}", each.width, q.width)
        for name, each in (("receptance", q), ("value", v)):
            whole = each.width // heads * heads
            check_widths(f"blk.{self.number}.time_mix_{name}", each.width, whole)
        if bonus is not None:
            check_widths(bonus.name, bonus.size, q.width)
        slot = self._slot("linear attention", matrices(heads, q.width // heads, v.width // heads))
        inputs = q, k, v, decay, v.like(), heads
        return self._add(LinearAttention(*inputs, bonus, removed, added, slot=slot))

    def delta_rule(
        self, q: Buffer, k: Buffer, v: Buffer, decay: Buffer, rate: Buffer, heads: DeltaHeads
    ) -> Buffer:
        keys, values = heads.key_heads * heads.key_width, heads.heads * heads.value_width
        decays = heads.heads * (1 if decay.width == heads.heads else heads.key_width)
        for name, buffer, width in (
            *(("queries", q, keys), ("keys", k, keys), ("values", v, values)),
            *(("decay", decay, decays), ("rate", rate, heads.heads)),
        ):
            check_widths(f"blk.{self.number} ({name} of its delta rule)", buffer.width, width)
        shape = matrices(heads.heads, heads.key_width, heads.value_width)
        slot = self._slot("delta rule", shape)
        return self._add(DeltaRule(q, k, v, decay, rate, v.like(), heads, slot=slot))

    def multiply(self, x: Buffer, y: Buffer) -> Buffer:
        if x.multiple * x.width % (y.multiple * y.width):
            raise self._misfit("are multiplied", x, y)
        return self._add(Multiply(x, y, x.like()))

    def scale_by(self, x: Buffer, w: Linear) -> Buffer:
        _check_norm(w)
        if x.width % w.weight.columns:
            check_widths(w.weight.name, w.weight.columns, x.width)
        return self._add(ScaleBy(x, x.like(), w))

    def columns(self, x: Buffer, start: int, stop: int, stretch: int | None = None) -> Buffer:
        stretch = stretch or x.width
        if not 0 <= start <= stop <= stretch or x.width % stretch:
            raise ModelFileError(f"columns {start} to {stop} of {stretch} in a row of {x.width}")
        y = x.like(x.width // stretch * (stop - start))
        return self._add(Columns(x, y, start, stop, stretch))

    def sums(self, x: Buffer, stretch: int) -> Buffer:
        check_widths("a sum's stretches", x.width // stretch * stretch, x.width)
        return self._add(Sums(x, x.like(x.width // stretch), stretch))

    def join(self, parts: Sequence[Buffer], stretches: int = 1) -> Buffer:
        for part in parts:
            if part.width % stretches:
                given = f"{self._maker(part)} gives {part.width} columns"
                raise ModelFileError(f"{given}: no {stretches} stretches")
        y = parts[0].like(sum(part.width for part in parts))
        return self._add(Join(tuple(parts), y, stretches))

    def add(self, x: Buffer, y: Buffer) -> Buffer:
        if x.width != y.width:
            raise self._misfit("are added", x, y)
        return self._add(Add(x, y, x.like()))

    def mix(self, x: Buffer, c: Buffer, streams: int) -> Buffer:
        if x.width % streams or c.width % streams:
            raise ModelFileError(f"{streams} streams in rows of {x.width}, mixed by {c.width}")
        y = x.like(c.width // streams * (x.width // streams))
        return self._add(Mix(x, c, y, streams))

    def balance(self, x: Buffer, streams: int, iterations: int, eps: float) -> Buffer:
        check_widths(self._maker(x), x.width, streams**2)
        return self._add(Balance(x, x.like(), streams, iterations, eps))

    def gaussian_top_k(self, x: Buffer, deviations: float) -> Buffer:
        return self._add(GaussianTopK(x, x.like(), deviations))

    def scale(self, x: Buffer, factor: float) -> Buffer:
        return self._add(Scale(x, x.like(), factor))

    def clamp(self, x: Buffer, low: float, high: float) -> Buffer:
        return self._add(Clamp(x, x.like(), low, high))

    def softcap(self, x: Buffer, cap: float) -> Buffer:
        return self._add(Softcap(x, x.like(), cap))

    def activate(self, x: Buffer, activation: Activation) -> Buffer:
        return self._add(Activate(x, x.like(), activation))

    def gate(self, gate: Buffer, up: Buffer, activation: Activation) -> Buffer:
        if gate.width != up.width:
            raise self._misfit("are gate and values", gate, up)
        return self._add(Gate(gate, up, gate.like(), activation))

    def route(
        self,
        logits: Buffer,
        routing: Routing,
        bias: Weight | None = None,
        listed: Buffer | None = None,
    ) -> ExpertChoice:
        if listed is not None:
            check_widths(self._maker(listed), listed.width, routing.used)
        if logits.width != routing.total:
            check_widths(self._maker(logits), logits.width, routing.total)
        ids, weights = logits.like(routing.used), logits.like(routing.used)
        if bias is not None:
            check_widths(bias.name, bias.columns, routing.total)
            _check_vector(bias)
        self._add(Route(logits, ids, weights, routing, bias, listed))
        return ExpertChoice(ids, weights, routing.experts)

    def expert_linear(self, w: Linear, x: Buffer, chosen: ExpertChoice) -> Buffer:
        self._check_product(w, x, chosen.total)
        out = Buffer(chosen.ids.rows, chosen.ids.width, w.weight.rows)
        return self._add(ExpertProduct(x, chosen.ids, out, w))

    def head_linear(self, w: Linear, x: Buffer) -> Buffer:
        heads = w.weight.experts
        check_widths(w.weight.name, heads * w.weight.columns, x.width)
        for beside in (w.bias, w.scale):
            if beside:
                raise ModelFileError(f"the tensor {beside.name} has no place in this model")
        return self._add(HeadProduct(x, x.like(heads * w.weight.rows), w))

    def expert_sum(self, y: Buffer, chosen: ExpertChoice) -> Buffer:
        return self._add(ExpertSum(y, chosen.weights, Buffer(y.rows, 1, y.width)))

    def select_outputs(self, x: Buffer) -> Buffer:
        return self._add(SelectOutputs(x, Buffer("outputs", 1, x.width)))

    def _slot(self, name: str, shape: tuple[int, ...]) -> Slot:
        """The layer's next slot of this name: its second one has the number 1."""
        assert self.number is not None, "what is kept between steps belongs to a layer"
        states = [op.state for op in self.operations if op.layer == self.number]
        before = sum(isinstance(one, Slot) and one.name == name for one in states)
        return Slot(self.number, name, shape, before)

    def _check_kept(self, heads: Heads) -> None:
        """Raises ModelFileError unless an earlier layer keeps the keys and values that are read."""
        wanted = (heads.layer, heads.kv_heads, heads.head_width, heads.values)
        kept = [op.heads for op in self.operations if isinstance(op, Store)]
        if wanted not in [(one.layer, one.kv_heads, one.head_width, one.values) for one in kept]:
            message = f"layer {self.number} reads the keys and values of layer {heads.layer}, which"
            shape = f"{heads.kv_heads} heads of {heads.head_width}"
            raise ModelFileError(f"{message} keeps none of {shape}")

    def _check_stretch(self, x: Buffer, width: int) -> None:
        if x.width % width:
            raise ModelFileError(
                f"{self._maker(x)} gives {x.width} columns: no stretches of {width}"
            )

    def _check_norm_weights(self, weight: Weight, x: Buffer, stretch: int | None) -> None:
        """As wide as x, or one row for all stretches of x, or a row for each."""
        if stretch is None:
            self._check_meets(weight, x)
        else:
            check_widths(weight.name, weight.columns, stretch)
        self._check_stretch(x, weight.columns)
        if len(weight.data) not in (1, x.width // weight.columns):
            message = f"the tensor {weight.name} has {len(weight.data)} rows; the model needs"
            raise ModelFileError(f"{message} {x.width // weight.columns}")

    def _check_product(self, w: Linear, x: Buffer, experts: int) -> None:
        _check_experts(w.weight, experts)
        self._check_meets(w.weight, x)
        if w.bias:
            if w.bias.columns != w.weight.rows:
                message = f"the tensor {w.bias.name} has the width {w.bias.columns}"
                raise ModelFileError(f"{message}; {w.weight.name} has {w.weight.rows} rows")
            check_widths(w.bias.name, len(w.bias.data), w.weight.experts)
        if w.scale:
            check_widths(w.scale.name, w.scale.columns, w.weight.experts)

    def _check_meets(self, weight: Weight, x: Buffer) -> None:
        if weight.columns != x.width:
            message = f"the tensor {weight.name} has the width {weight.columns}; it meets"
            raise ModelFileError(f"{message} the {x.width} columns that {self._maker(x)} gives")

    def _misfit(self, what: str, x: Buffer, y: Buffer) -> ModelFileError:
        found = " and ".join(f"{each.width} columns of {self._maker(each)}" for each in (x, y))
        return ModelFileError(f"{found} {what}")

    def _maker(self, x: Buffer) -> str:
        """The name of the last tensor on the way to x."""
        for operation in reversed(self.operations):
            if any(x is each for each in operation.outputs):
                for use in operation.uses():
                    return use.weight.name
                x = operation.inputs[0]
        return "a number of tokens"

    def _add(self, operation: Operation) -> Buffer:
        """The operator's first output."""
        self.operations.append(replace(operation, layer=self.number))
        return operation.outputs[0]


def _check_experts(weight: Weight, experts: int) -> None:
    if weight.experts != experts:
        message = f"the tensor {weight.name} holds {weight.experts} matrices; the model needs"
        raise ModelFileError(f"{message} {experts}")


def _check_norm(w: Linear) -> None:
    _check_vector(w.weight)
    if w.scale:
        raise ModelFileError(f"the tensor {w.scale.name} has no place in this model")


def _check_vector(weight: Weight) -> None:
    if len(weight.data) != 1:
        raise ModelFileError(f"the tensor {weight.name} should be a vector")


def record(
    forward: Callable[[Operators], Array],
    *sources: Source,
    gives: Literal["logits", "hidden"] = "logits",
) -> Program:
    """A forward pass, or a part of one that is computed by itself. Raises ModelFileError."""
    recorder = Recorder()
    output: Buffer = forward(recorder)
    operations, inputs = tuple(recorder.operations), tuple(recorder.inputs)
    return Program(operations, inputs, Output(gives, output), sources, forward)
