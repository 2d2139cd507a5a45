"""A file's tensors as a model asks for them, by GGUF's own names; none may be left over."""

import itertools
from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray

from ops.interface import Linear, Weight, check_widths
from quant.errors import ModelFileError
from quant.format import FORMATS, NO_WEIGHTS
from quant.gguf import GGUF, Tensor

INCOMPLETE = "the file is incomplete or wrongly converted"  # a hint
FEED_FORWARD = ("ffn_gate", "ffn_up", "ffn_down")
FEED_FORWARD_SCALES = frozenset(
    f"{n}{kind}.scale" for n in FEED_FORWARD for kind in ("", "_exps", "_shexp")
)


class Weights:
    """Hands out tensors with their optional bias and scale; remembers what was used.

    `unapplied` are those of the optional ones, without their blocks, that the model disregards.
    """

    def __init__(self, file: GGUF, unapplied: Collection[str] = ()) -> None:
        self._file, self._unapplied = file, unapplied
        self._used: set[str] = set()
        self._linears: dict[str, Linear] = {}
        self._apart: dict[str, list[Weight]] = {}

    def __contains__(self, name: str) -> bool:
        tensors = self._file.tensors
        return f"{name}.weight" in tensors or name in tensors or _of_expert(name, 0) in tensors

    def __getitem__(self, name: str) -> Linear:
        """The tensor `name`.weight with `name`.bias and `name`.scale where the file has them.

        Some tensors that are no matrices are called `name` alone.
        """
        if name not in self._linears:
            weight = self.weight(name if name in self._file.tensors else f"{name}.weight")
            bias, scale = self._optional(name, "bias"), self._optional(name, "scale")
            self._used.add(f"{name}.input_scale")  # only for kernels with 4-bit activations
            self._linears[name] = Linear(weight, bias, scale)
        return self._linears[name]

    def weight(self, name: str) -> Weight:
        """Raises ModelFileError when the file lacks the tensor."""
        if name not in self._file.tensors and _of_expert(name, 0) in self._file.tensors:
            return self.stacked(name)
        if name not in self._file.tensors:
            message = f"{self._file.path}: the tensor {name} is missing"
            raise ModelFileError(message, INCOMPLETE)
        self._used.add(name)
        tensor = self._file.tensors[name]
        if tensor.format.dequantize is None:
            message = f"{self._file.path}: the tensor {name} has the type {tensor.format.name}"
            raise ModelFileError(f"{message}, which holds no weights", NO_WEIGHTS)
        return _weight(tensor)

    def integers(self, name: str, below: int) -> NDArray[np.float32]:  # (rows, columns)
        """A tensor of whole numbers from 0 to `below` − 1. Raises ModelFileError."""
        tensor = self._file.tensors.get(name)
        if tensor is None or tensor.format.name != "I32":
            found = "is missing" if tensor is None else f"has the type {tensor.format.name}"
            raise ModelFileError(f"{self._file.path}: the tensor {name} of integers {found}")
        self._used.add(name)
        values = tensor.data.view(np.int32)
        if values.size and not 0 <= values.min() <= values.max() < below:
            found = f"holds numbers from {values.min()} to {values.max()}"
            raise ModelFileError(f"{self._file.path}: the tensor {name} {found}, not below {below}")
        return values.astype(np.float32)

    def leave_out(self, name: str) -> None:
        """A tensor that may be in the file and is of no use there."""
        self._used.add(name)

    def parts_of_groups(self, name: str, groups: int, parts: int) -> list[Weight]:
        """A small matrix whose rows lie in groups of several parts, taken apart by a copy.

        One copy for all passes: a weight is known by its place in memory. Raises ModelFileError.
        """
        if name not in self._apart:
            whole = self.weight(name)
            rows = whole.rows // (groups * parts)
            check_widths(name, whole.rows, groups * parts * rows)
            data = whole.data.reshape(groups, parts, rows, -1).swapaxes(0, 1)
            apart = np.ascontiguousarray(data).reshape(parts, groups * rows, -1)
            self._apart[name] = [Weight(name, whole.format, whole.columns, part) for part in apart]
        return self._apart[name]

    def first(self, names: Iterable[str]) -> Weight | None:
        """The first of some tensors that the file has."""
        found = next((name for name in names if name in self._file.tensors), None)
        return None if found is None else self.weight(found)

    def stacked(self, name: str) -> Weight:
        """Experts that old files hold in a tensor each, joined by a copy. Raises ModelFileError."""
        if name not in self._apart:
            tensors, names = self._file.tensors, (_of_expert(name, n) for n in itertools.count())
            parts = [self.weight(each) for each in itertools.takewhile(tensors.__contains__, names)]
            first = parts[0]
            for part in parts:
                check_widths(part.name, part.rows, first.rows)
                check_widths(part.name, part.columns, first.columns)
                if part.format is not first.format:
                    raise ModelFileError(f"the tensor {part.name} has the type {part.format.name}")
            data = np.concatenate([part.data for part in parts])
            self._apart[name] = [Weight(name, first.format, first.columns, data, len(parts))]
        return self._apart[name][0]

    def _optional(self, name: str, kind: str) -> Weight | None:
        if f"{name}.{kind}" not in self._file.tensors:
            return None
        weight = self.weight(f"{name}.{kind}")
        return None if f"{name.rpartition('.')[2]}.{kind}" in self._unapplied else weight

    def check_all_used(self, ignored: Collection[str], further: range = range(0)) -> None:
        """A tensor that no block asked for is part of a model that we would compute wrongly.

        `further` are the numbers of blocks that may be left out as a whole.
        """
        known = {*self._used, *ignored}
        beginnings = tuple(f"blk.{number}." for number in further)
        names = [name for name in self._file.tensors if not name.startswith(beginnings)]
        left = [name for name in names if name not in known]
        if left:
            more = f" and {len(left) - 1} more" if len(left) > 1 else ""
            message = f"{self._file.path}: the tensor {left[0]}{more} is not used"
            architecture = self._file.metadata.string("general.architecture")
            hint = f"a variant of {architecture} that Lepton does not know"
            raise ModelFileError(message, hint)


class Layer:
    """One block's tensors as attributes: `layer.attn_q` is blk.N.attn_q, behind its `prefix`."""

    def __init__(self, weights: Weights, number: int, prefix: str = "") -> None:
        self._weights, self.number, self._block = weights, number, f"{prefix}blk.{number}"

    def __contains__(self, name: str) -> bool:
        return f"{self._block}.{name}" in self._weights

    def __getattr__(self, name: str) -> Linear:
        return self[name]

    def __getitem__(self, name: str) -> Linear:
        """As the attribute; for names with a dot."""
        return self._weights[f"{self._block}.{name}"]

    def weight(self, name: str) -> Weight:
        """The tensor blk.N.`name` alone, whatever its ending."""
        return self._weights.weight(f"{self._block}.{name}")

    def leave_out(self, *names: str) -> None:
        """Matrices, with all beside them, that files may have and this block does not use."""
        for name in names:
            for kind in ("weight", "bias", "scale", "input_scale"):
                self._weights.leave_out(f"{self._block}.{name}.{kind}")

    def vector(self, *names: str) -> Weight | None:
        """The first tensor blk.N.`name`, whatever it ends in, that the file has."""
        return self._weights.first(f"{self._block}.{name}" for name in names)

    def parts_of_groups(self, name: str, groups: int, parts: int) -> list[Weight]:
        """See Weights."""
        return self._weights.parts_of_groups(f"{self._block}.{name}", groups, parts)


def constant(name: str, values: NDArray[np.float32]) -> Weight:  # (rows, columns)
    """A matrix, or a vector, that no file holds; to be made once for all passes."""
    rows = np.ascontiguousarray(np.atleast_2d(values))
    return Weight(name, FORMATS["F32"], rows.shape[1], rows.view(np.uint8))


def _of_expert(name: str, number: int) -> str:
    """The tensor of one expert in old files, from the name of all; of other names nothing."""
    stem, kind, _ = name.partition("_exps")
    return f"{stem}.{number}.weight" if kind else ""


def _weight(tensor: Tensor) -> Weight:
    *experts, columns = tensor.shape
    stacked = experts[0] if len(experts) == 2 else 1
    return Weight(tensor.name, tensor.format, columns, tensor.data, stacked)
