"""LoRA adapters and control vectors: what is added to a model's products, and to its rows.

A low-rank adapter (Hu et al. 2021) has two narrow matrices beside one of the model's: W x becomes
W x + s·B (A x). A control vector (Zou et al. 2023) has a direction for some layers, which is added
to what leaves the layer. The files of architectures know of neither: adapters wrap the operators,
and the decoder adds its `directions`. Both consist of ordinary operators, so that every backend
runs them. Scales are vectors, which can be changed while a model is open.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lepton_cli.models.keys import Keys
from lepton_cli.models.weights import INCOMPLETE, Weights, constant
from ops.interface import Array, ExpertChoice, Linear, Operators, Weight
from ops.program import Program
from quant.errors import ModelFileError, UsageError
from quant.format import dequantize
from quant.gguf import GGUF, Metadata

TABLE = "token_embd.weight"
HALVES = (".lora_a", ".lora_b")
MOST = 1e6  # of a scale, and of alpha: far above all real ones, far below what overflows
DIRECTION = "direction."
OTHER_MODEL = "use the adapter with the model that it was made for"
MERGE = "merge it into the model, and use the result: lepton merge-lora MODEL OUT --lora FILE"

Floats = NDArray[np.float32]
Forward = Callable[[Operators], Array]


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """The narrow matrices beside one of the model's, A (r, N) and B (R, r), or E of each.

    Beside the table of tokens, A holds a row of r numbers for each token. `factor` is alpha / r;
    the values of `scale` (1, E) are the adapter's scale, times the factor, times `own`: where the
    model has factors for a matrix, they multiply what is added to it, as in a merged model.
    """

    path: Path
    name: str  # of the model's tensor
    down: Weight
    up: Weight
    factor: float
    scale: Weight
    own: Floats  # (E,)

    @property
    def rank(self) -> int:
        return self.up.columns

    def rescale(self, scale: float) -> None:
        _values(self.scale)[:] = np.float32(scale * self.factor) * self.own

    def check(self, table: Weight) -> None:
        """Raises ModelFileError unless it belongs beside the model's whole tensor."""
        inner = self.down.columns if self.name == TABLE else self.down.rows
        own = self.up.experts, self.up.rows, self.down.columns
        if self.name == TABLE:
            own = self.up.experts, self.down.rows, self.up.rows
        wanted = table.experts, table.rows, table.columns
        if inner != self.rank or self.down.experts != self.up.experts:
            halves = f"{self.down.rows} x {self.down.columns} and {self.up.rows} x {self.rank}"
            message = f"{self.path}: the halves of {self.name} do not belong together ({halves})"
            raise ModelFileError(message, INCOMPLETE)
        if own != wanted:
            message = f"{self.path}: the adapter's {self.name} is for {_shape(*own)}"
            raise ModelFileError(f"{message}, the model's is {_shape(*wanted)}", OTHER_MODEL)

    def added(self, scale: float, expert: int, start: int, stop: int) -> Floats:  # (rows, N)
        """What it adds to rows of one expert's matrix, which the model's factors then multiply."""
        down, up = self.down.matrix(expert), self.up.matrix(expert)
        rows, columns = (down, up) if self.name == TABLE else (up, down)
        left = _floats(rows.part(start, stop))
        right = _floats(columns).T if self.name == TABLE else _floats(columns)
        change: Floats = np.float32(scale * self.factor) * (left @ right)
        return change

    def refused(self, why: str) -> ModelFileError:
        return ModelFileError(f"{self.path}: {self.name} {why}", MERGE)


@dataclass(slots=True, eq=False)
class Lora:
    """A low-rank adapter."""

    path: Path
    pairs: tuple[Pair, ...]
    scale: float

    @classmethod
    def of(cls, file: GGUF, scale: float) -> "Lora":
        """Raises ModelFileError for a file that is damaged, or of another kind."""
        _check_kind(file.metadata)
        alpha = file.metadata.number("adapter.lora.alpha", 0.0)
        if not abs(alpha) <= MOST:
            raise ModelFileError(f"{file.path}: adapter.lora.alpha is {alpha}", INCOMPLETE)
        pairs = tuple(_pair(file, name, alpha) for name in _adapted(file))
        if not pairs:
            raise ModelFileError(f"{file.path}: the adapter holds no matrices", INCOMPLETE)
        return cls(file.path, pairs, scale)

    @property
    def about(self) -> str:
        ranks = sorted({pair.rank for pair in self.pairs})
        shown = str(ranks[0]) if len(ranks) == 1 else f"{ranks[0]} to {ranks[-1]}"
        count = len(self.pairs)
        return f"LoRA of rank {shown} on {count} {'matrix' if count == 1 else 'matrices'}"


@dataclass(slots=True, eq=False)
class ControlVector:
    """Directions by layer; those within the `layers` in use, from and to."""

    path: Path
    directions: Mapping[int, Floats]  # (D,)
    layers: tuple[int, int]
    scale: float

    @classmethod
    def of(cls, file: GGUF, scale: float, layers: tuple[int, int] | None) -> "ControlVector":
        """`layers` None: all. Raises ModelFileError for a damaged file, UsageError for layers of
        which it has none."""
        numbers, weights, found = _numbers(file), Weights(file), dict[int, Floats]()
        first, last = layers or (1, max(numbers))
        for number in numbers:
            weight = weights.weight(f"{DIRECTION}{number}")
            if first <= number <= last:
                found[number] = dequantize(weight.format, weight.data).reshape(-1)
        if not found:
            message = f"{file.path}: the control vector has no direction for layers {first} to"
            hint = f"its layers are {min(numbers)} to {max(numbers)}"
            raise UsageError(f"{message} {last}", hint)
        return cls(file.path, found, (first, last), scale)

    @property
    def about(self) -> str:
        count = len(self.directions)
        return f"control vector for {count} {'layer' if count == 1 else 'layers'}"


class Adapters:
    """All adapters that a model is opened with, in the order in which they were given."""

    def __init__(self, base: GGUF | None = None, used: Sequence[Lora | ControlVector] = ()) -> None:
        """`base`: the model's file. Raises ModelFileError for adapters of another model."""
        self.used, self._base = used, base
        self._pairs: dict[str, list[tuple[Lora, Pair]]] = {}
        self.directions: dict[int, Linear] = {}
        if base is None or not used:
            return
        keys = Keys(base.metadata)
        for each in used:
            if isinstance(each, Lora):
                self._add(base, each)
            else:
                _check_directions(each, keys)
                self._open_directions(each, keys.positive("embedding_length"))
        for number in range(len(used)):
            self.rescale(number, used[number].scale)

    def rescale(self, number: int, scale: float) -> list[Weight]:
        """Gives an adapter another scale; returns the vectors whose values it changed."""
        adapter = self.used[number]
        adapter.scale = scale
        if isinstance(adapter, Lora):
            for pair in adapter.pairs:
                pair.rescale(scale)
            return [pair.scale for pair in adapter.pairs]
        return [self._sum_up(layer) for layer in adapter.directions]

    def around(self, forward: Forward) -> Forward:
        """The forward pass, or a part of it, with the low-rank adapters."""
        if not self._pairs:
            return forward
        return lambda ops: forward(cast(Operators, Adapted(ops, self)))

    def beside(self, weight: Weight, own: Weight | None = None) -> Iterator[tuple[Pair, Weight]]:
        """The pairs beside a weight, each with its B, or the rows of B that belong to it.

        `own`: the model's factors. Raises ModelFileError where the weight was made of the tensor
        that is adapted.
        """
        for lora, pair in self._pairs.get(weight.name, ()):
            first, whole = self._first_row(weight), weight.rows == pair.up.rows
            alike = weight.experts == pair.up.experts and (own is None or whole)
            if first is None or not alike:
                raise pair.refused("is used in a way in which it cannot be adapted")
            pair.own[:] = 1 if own is None else dequantize(own.format, own.data).reshape(-1)
            pair.rescale(lora.scale)
            yield pair, pair.up if whole else pair.up.part(first, first + weight.rows)

    @property
    def adapted(self) -> Mapping[str, Sequence[tuple[Lora, Pair]]]:
        """By the names of the model's tensors, what is added to each."""
        return self._pairs

    def check_used(self, programs: Iterable[Program], further: range) -> None:
        """Raises ModelFileError for a part of an adapter that the model has no use for.

        `further` are the numbers of blocks that only guess tokens and may be left out.
        """
        used = {
            (id(use.weight), op.outputs[0].width if op.outputs else 0)
            for program in programs
            for op in program.operations
            for use in op.uses()
        }
        known = {weight for weight, _ in used}
        for _, pair in (each for pairs in self._pairs.values() for each in pairs):
            guesses = pair.name.startswith(tuple(f"blk.{number}." for number in further))
            if id(pair.down) not in known and not guesses:
                raise pair.refused("is used in a way in which it cannot be adapted")
        for layer, direction in self.directions.items():
            if (id(direction.weight), direction.weight.columns) not in used:
                message = "control vectors cannot be used with this model"
                reason = f"layer {layer} does not hand on one row for each token"
                raise ModelFileError(f"{message}: {reason}", "leave out --control-vector")

    def _add(self, base: GGUF, lora: Lora) -> None:
        weights = Weights(base)
        for pair in lora.pairs:
            if pair.name not in base.tensors:
                message = f"{pair.path}: the model has no tensor {pair.name} to adapt"
                raise ModelFileError(message, OTHER_MODEL)
            pair.check(weights.weight(pair.name))
            self._pairs.setdefault(pair.name, []).append((lora, pair))

    def _open_directions(self, vector: ControlVector, width: int) -> None:
        for layer in vector.directions:
            zeros = np.zeros(width, np.float32)
            self.directions.setdefault(layer, Linear(constant(f"direction.{layer}", zeros)))

    def _sum_up(self, layer: int) -> Weight:
        """The layer's direction: the sum of those of all control vectors."""
        total = _values(self.directions[layer].weight)
        total[:] = 0
        for each in self.used:
            if isinstance(each, ControlVector) and layer in each.directions:
                total += np.float32(each.scale) * each.directions[layer]
        return self.directions[layer].weight

    def _first_row(self, weight: Weight) -> int | None:
        """The first row of a part within the model's tensor; None for a copy."""
        assert self._base is not None, "there are pairs"
        whole = self._base.tensors[weight.name].data
        ahead = weight.data.ctypes.data - whole.ctypes.data
        inside = 0 <= ahead <= whole.nbytes - weight.data.nbytes and not ahead % whole.shape[1]
        return ahead // whole.shape[1] if inside else None


class Adapted:
    """Operators that add what low-rank adapters add."""

    def __init__(self, ops: Operators, adapters: Adapters) -> None:
        self._ops, self._adapters = ops, adapters

    def __getattr__(self, name: str) -> Any:
        """All other operators, as they are."""
        return getattr(self._ops, name)

    def layer(self, number: int) -> "Adapted":
        return Adapted(self._ops.layer(number), self._adapters)

    def embed(self, table: Weight) -> Array:
        ops, y = self._ops, self._ops.embed(table)
        for pair, up in self._adapters.beside(table):
            y = ops.add(y, ops.linear(Linear(up, None, pair.scale), ops.embed(pair.down)))
        return y

    def linear(self, w: Linear, x: Array) -> Array:
        ops, y = self._ops, self._ops.linear(w, x)
        for pair, up in self._adapters.beside(w.weight, w.scale):
            if pair.name == TABLE:
                raise pair.refused("is this model's output matrix too")
            narrow = ops.linear(Linear(pair.down), x)
            y = ops.add(y, ops.linear(Linear(up, None, pair.scale), narrow))
        return y

    def head_linear(self, w: Linear, x: Array) -> Array:
        ops, y = self._ops, self._ops.head_linear(w, x)
        for pair, up in self._adapters.beside(w.weight):
            narrow = ops.head_linear(Linear(pair.down), x)
            factors = Linear(pair.scale)  # of each head, all alike
            y = ops.add(y, ops.head_linear(Linear(up), ops.scale_by(narrow, factors)))
        return y

    def expert_linear(self, w: Linear, x: Array, chosen: ExpertChoice) -> Array:
        ops, y = self._ops, self._ops.expert_linear(w, x, chosen)
        for pair, up in self._adapters.beside(w.weight, w.scale):
            narrow = ops.expert_linear(Linear(pair.down), x, chosen)
            y = ops.add(y, ops.expert_linear(Linear(up, None, pair.scale), narrow, chosen))
        return y


def _shape(experts: int, rows: int, columns: int) -> str:
    each = f"{rows} x {columns}"
    return each if experts == 1 else f"{experts} x {each}"


def _floats(weight: Weight) -> Floats:
    return dequantize(weight.format, weight.data)


def _values(weight: Weight) -> Floats:
    """Those of a `constant`, to be changed."""
    return weight.data.view(np.float32).reshape(-1)


def _check_kind(metadata: Metadata) -> None:
    """Raises ModelFileError for what is no plain low-rank adapter."""
    kind = metadata.string("adapter.type")
    if kind != "lora":
        raise ModelFileError(
            f"{metadata.path}: adapter.type is {kind!r}, not 'lora'", "use a LoRA adapter"
        )
    if "adapter.alora.invocation_tokens" in metadata:
        message = f"{metadata.path}: an adapter that tokens switch on (aLoRA) is not supported yet"
        raise ModelFileError(message, "use an ordinary LoRA adapter")


def _adapted(file: GGUF) -> list[str]:
    """The names of the model's tensors that a file adapts; raises ModelFileError."""
    names = dict[str, None]()
    for name in file.tensors:
        stem, dot, half = name.rpartition(".")
        if dot + half in HALVES:
            names[stem] = None
        elif not name.endswith("_norm.weight"):  # which llama.cpp leaves out, too
            message = f"{file.path}: the tensor {name} is no half of a low-rank adapter"
            raise ModelFileError(message, INCOMPLETE)
    return list(names)


def _pair(file: GGUF, name: str, alpha: float) -> Pair:
    weights = Weights(file)
    down, up = (weights.weight(f"{name}{half}") for half in HALVES)
    factor = alpha / up.columns if alpha else 1.0
    scale = constant(f"{name}.lora_scale", np.zeros(up.experts, np.float32))
    return Pair(file.path, name, down, up, factor, scale, np.ones(up.experts, np.float32))


def _numbers(file: GGUF) -> list[int]:
    """The layers of a control vector's directions; raises ModelFileError."""
    numbers = []
    for name, tensor in file.tensors.items():
        number = name.removeprefix(DIRECTION)
        if number == name or not number.isdecimal() or int(number) < 1 or len(tensor.shape) != 1:
            message = f"{file.path}: the tensor {name} is no direction of a control vector"
            raise ModelFileError(message, INCOMPLETE)
        numbers.append(int(number))
    if not numbers:
        raise ModelFileError(f"{file.path}: the control vector holds no directions", INCOMPLETE)
    return numbers


def _check_directions(vector: ControlVector, keys: Keys) -> None:
    """Raises ModelFileError for directions that do not belong to the model."""
    width, layers = keys.positive("embedding_length"), keys.layers()
    for layer, direction in vector.directions.items():
        if len(direction) != width:
            message = f"{vector.path}: the direction of layer {layer} has the width"
            raise ModelFileError(f"{message} {len(direction)}, the model {width}", OTHER_MODEL)
        if layer >= layers:
            message = f"{vector.path}: a direction for layer {layer}, but the model's last layer is"
            raise ModelFileError(f"{message} {layers - 1}", OTHER_MODEL)
