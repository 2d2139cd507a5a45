"""How much of a model's loss each tensor's rounding makes, measured on a text.

Divergence grows with the square of an error. For a group of tensors (of one kind, in one third of
the layers) it is measured once, with all of them rounded to one format; what another format would
make of a tensor follows from the squares of both formats' errors. An error counts by the columns'
importance: Σ x² · (w - w')².
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lepton_cli.engine.files.blocks import split_name
from lepton_cli.engine.loss.trials import Trials, with_bytes
from lepton_cli.engine.shrinking.importance import Importance
from lepton_cli.engine.shrinking.sizing import Option
from ops.encoding.encoder import Encoder, Rows
from ops.program import Program
from quant.format import FORMATS, Format, dequantize, row_bytes
from quant.gguf import GGUF, Tensor

SAMPLED = 1 << 18  # weights of a tensor whose errors stand for all
DEPTHS = 3  # stretches of layers that are told apart
PROBES = ("Q4_0", "IQ4_NL")  # one may hold weights that were rounded to it before without an error


@dataclass(frozen=True, slots=True)
class Progress:
    """So many of the groups are measured; the last one, and its divergence."""

    done: int
    total: int
    group: str
    divergence: float


class Sensitivity:
    """Measures the loss of formats for the tensors `names` of a file."""

    def __init__(
        self,
        file: GGUF,
        program: Program,
        names: Sequence[str],
        importance: Importance | None,
        encoder: Encoder,
    ) -> None:
        """`program`: recorded of the file."""
        self._file, self._program, self._encoder = file, program, encoder
        self._names, self._importance = names, importance
        self._groups = _groups(names, program.layers)
        self._factors, self._errors = dict[str, float](), dict[tuple[str, int], float]()

    def measure(self, trials: Trials) -> Iterator[Progress]:
        """Measures each group. Raises LeptonError."""
        for number, (group, names) in enumerate(self._groups.items(), 1):
            probe = self._probe(names)
            rounded = {name: self._rounded(name, probe) for name in names}
            found = trials.divergence(with_bytes(self._program, self._file, rounded, probe))
            errors = sum(self._error(name, probe) for name in names)
            factor = found.mean.value / errors if errors else 0.0
            self._factors.update(dict.fromkeys(names, factor))
            yield Progress(number, len(self._groups), group, found.mean.value)

    def options(self, formats: Sequence[Format]) -> dict[str, list[Option]]:
        """For each tensor those formats that its rows can have, with the expected divergence."""
        return {
            name: [
                Option(kind, self._bytes(name, kind), self._factors[name] * self._error(name, kind))
                for kind in formats
                if self._file.tensors[name].shape[-1] % kind.block_size == 0
            ]
            for name in self._names
        }

    def _probe(self, names: Sequence[str]) -> Format:
        """The format that a group is rounded to: the one that makes the larger error."""
        columns = [self._file.tensors[name].shape[-1] for name in names]
        kinds = [FORMATS[name] for name in PROBES]
        fitting = [kind for kind in kinds if all(n % kind.block_size == 0 for n in columns)]
        if not fitting:
            return FORMATS["BF16"]
        return max(fitting, key=lambda kind: sum(self._error(name, kind) for name in names))

    def _bytes(self, name: str, kind: Format) -> int:
        tensor = self._file.tensors[name]
        return row_bytes(kind, tensor.shape[-1]) * len(tensor.data)

    def _rounded(self, name: str, kind: Format) -> NDArray[np.uint8]:
        """A whole tensor in a format, (rows, row bytes)."""
        tensor = self._file.tensors[name]
        parts = self._by_expert(tensor)
        return np.concatenate([self._encoder.encode(kind, *each) for each in parts])

    def _error(self, name: str, kind: Format) -> float:
        """Σ x² · (w - w')² of some rows, as if of all."""
        if (name, kind.id) not in self._errors:
            self._errors[name, kind.id] = self._measured_error(name, kind)
        return self._errors[name, kind.id]

    def _measured_error(self, name: str, kind: Format) -> float:
        tensor, total, count = self._file.tensors[name], 0.0, 0
        most = max(1, SAMPLED // tensor.shape[-1])
        step = max(1, len(tensor.data) // most)
        for rows, importance in self._by_expert(tensor, step):
            weights = dequantize(rows.format, rows.data)
            changed = dequantize(kind, self._encoder.encode(kind, rows, importance))
            squares = np.square(weights - changed, dtype=np.float64).sum(axis=0)
            total += float(squares.sum() if importance is None else squares @ importance)
            count += len(weights)
        return total / count * len(tensor.data)

    def _by_expert(
        self, tensor: Tensor, step: int = 1
    ) -> Iterator[tuple[Rows, NDArray[np.float32] | None]]:
        """Every so many rows of those that share an importance of columns, and that."""
        columns, found = tensor.shape[-1], None
        if self._importance is not None:
            found = self._importance.of(tensor)
        matrices = tensor.data.reshape(tensor.experts, -1, tensor.data.shape[1])
        for number, matrix in enumerate(matrices):
            rows = Rows(tensor.name, tensor.format, columns, np.ascontiguousarray(matrix[::step]))
            yield rows, None if found is None else found[number]


def _groups(names: Sequence[str], layers: int) -> dict[str, list[str]]:
    """Tensors of one kind and depth."""
    found = dict[str, list[str]]()
    for name in names:
        layer, group = split_name(name)
        if layer is not None:
            depth = min(layer * DEPTHS // max(1, layers), DEPTHS - 1)
            group += f", part {depth + 1} of {DEPTHS} of the layers"
        found.setdefault(group, []).append(name)
    return found
