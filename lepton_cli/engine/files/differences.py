"""What differs between two models: keys, tensors, types, values.

How a model is divided into files is no difference: the keys `split.*` are not compared.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lepton_cli.engine.files.pieces import (
    Piece,
    Progress,
    no_progress,
    on_all_cores,
    pieces_of,
)
from lepton_cli.engine.library.json_values import Plain, plain
from lepton_cli.engine.library.sizes import counted
from quant.format import dequantize
from quant.gguf import GGUF, SCALARS, STRING, Metadata, Tensor, Value
from quant.strings import Strings


@dataclass(frozen=True, slots=True)
class KeyChange:
    """A key whose stored values differ. `items`: how two long arrays do."""

    key: str
    before: Plain
    after: Plain
    items: str | None = None


@dataclass(frozen=True, slots=True)
class TensorFacts:
    format: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TensorChange:
    """A tensor whose type or shape differs."""

    name: str
    before: TensorFacts
    after: TensorFacts


@dataclass(frozen=True, slots=True)
class ValueChange:
    """How far the values differ: |B - A| / |A|, and the largest |b - a|.

    None where there are no such numbers: in types without weights, and with NaN or Inf.
    """

    name: str
    relative: float | None
    largest: float | None


@dataclass(frozen=True, slots=True)
class Differences:
    """From the first model to the second; values by descending relative change."""

    keys_removed: dict[str, Plain]
    keys_added: dict[str, Plain]
    keys_changed: tuple[KeyChange, ...]
    tensors_removed: dict[str, TensorFacts]
    tensors_added: dict[str, TensorFacts]
    tensors_changed: tuple[TensorChange, ...]
    values_changed: tuple[ValueChange, ...]
    tensors_compared: int  # their values

    @property
    def any(self) -> bool:
        """Whether the two are not the same model in the same types."""
        keys = self.keys_removed or self.keys_added or self.keys_changed
        tensors = self.tensors_removed or self.tensors_added or self.tensors_changed
        return bool(keys or tensors or self.values_changed)


def compare(a: GGUF, b: GGUF, progress: Progress = no_progress) -> Differences:
    """Compares all tensors in both files that have the same shape, dequantized in pieces."""
    names = [name for name in a.tensors if name in b.tensors]
    pairs = [(a.tensors[name], b.tensors[name]) for name in names]
    same_shape = [pair for pair in pairs if pair[0].shape == pair[1].shape]
    return Differences(
        keys_removed=_only_in(a.metadata, b.metadata),
        keys_added=_only_in(b.metadata, a.metadata),
        keys_changed=tuple(_changed_keys(a.metadata, b.metadata)),
        tensors_removed={n: _facts(t) for n, t in a.tensors.items() if n not in b.tensors},
        tensors_added={n: _facts(t) for n, t in b.tensors.items() if n not in a.tensors},
        tensors_changed=tuple(
            TensorChange(before.name, _facts(before), _facts(after))
            for before, after in pairs
            if _facts(before) != _facts(after)
        ),
        values_changed=tuple(_changed_values(same_shape, progress)),
        tensors_compared=len(same_shape),
    )


def _facts(tensor: Tensor) -> TensorFacts:
    return TensorFacts(tensor.format.name, tensor.shape)


def _keys(metadata: Metadata) -> list[str]:
    return [key for key in metadata if not key.startswith("split.")]


def _only_in(these: Metadata, others: Metadata) -> dict[str, Plain]:
    return {key: plain(these[key]) for key in _keys(these) if key not in others}


def _changed_keys(a: Metadata, b: Metadata) -> Iterator[KeyChange]:
    for key in _keys(a):
        if key not in b or a.stored(key) == b.stored(key):
            continue
        before, after = plain(a[key]), plain(b[key])
        if before == after and not isinstance(before, dict):  # in another type
            before, after = f"{before} ({_type(a, key)})", f"{after} ({_type(b, key)})"
        yield KeyChange(key, before, after, _items(a[key], b[key]))


def _type(metadata: Metadata, key: str) -> str:
    kind = int.from_bytes(metadata.stored(key)[:4], "little")
    if kind in SCALARS:
        return SCALARS[kind].name
    return "string" if kind == STRING else "array"


def _items(a: Value, b: Value) -> str | None:
    """How two arrays differ; None for anything else."""
    if isinstance(a, str | int | float) or isinstance(b, str | int | float):
        return None
    differing = [n for n, (x, y) in enumerate(zip(_list(a), _list(b), strict=False)) if x != y]
    count = len(differing) + abs(len(a) - len(b))
    if not differing:
        return f"the first {min(len(a), len(b))} items are equal" if count else None
    first = differing[0]
    shown = f"{plain(_list(a)[first])!r:.40} and {plain(_list(b)[first])!r:.40}"
    differ = "differs" if count == 1 else "differ"
    return f"{counted(count, 'item')} {differ}, the first at {first}: {shown}"


def _list(value: Value) -> Sequence[object]:
    if isinstance(value, np.ndarray):
        items: list[object] = value.tolist()
        return items
    assert isinstance(value, Strings)
    return value


class _Sums(NamedTuple):
    """Of a piece: the squares of the first model's values, and of the differences."""

    name: str
    squares: float
    changes: float
    largest: float
    differs: bool


def _changed_values(
    pairs: Sequence[tuple[Tensor, Tensor]], progress: Progress
) -> list[ValueChange]:
    """By descending relative change; what has none comes first."""
    whole, done = sum(before.data.nbytes for before, _ in pairs), 0
    sums: dict[str, list[_Sums]] = {}
    for piece, found in on_all_cores(_compared, _piece_pairs(pairs)):
        done += piece.data.size
        progress(done, whole)
        if found is not None:
            sums.setdefault(found.name, []).append(found)
    changes = [_change(several) for several in sums.values() if any(s.differs for s in several)]
    return sorted(changes, key=_magnitude, reverse=True)


def _magnitude(change: ValueChange) -> float:
    return np.inf if change.relative is None else change.relative


def _piece_pairs(pairs: Sequence[tuple[Tensor, Tensor]]) -> Iterator[tuple[Piece, Piece]]:
    for before, after in pairs:
        yield from zip(pieces_of(before), pieces_of(after), strict=True)


def _compared(pair: tuple[Piece, Piece]) -> tuple[Piece, _Sums | None]:
    before, after = pair
    name, kinds = before.tensor.name, (before.tensor.format, after.tensor.format)
    alike = kinds[0] is kinds[1] and np.array_equal(before.data, after.data)
    if not all(kind.dequantize for kind in kinds):
        return before, None if alike else _Sums(name, np.nan, np.nan, np.nan, True)
    a = dequantize(kinds[0], before.data).astype(np.float64)
    squares = float(a @ a)
    if alike:
        return before, _Sums(name, squares, 0.0, 0.0, False)
    with np.errstate(invalid="ignore"):  # of infinite values
        change = dequantize(kinds[1], after.data) - a
        differs = bool(change.any())
        return before, _Sums(
            name, squares, float(change @ change), float(np.abs(change).max()), differs
        )


def _change(sums: Sequence[_Sums]) -> ValueChange:
    squares, changes = sum(s.squares for s in sums), sum(s.changes for s in sums)
    largest = max(s.largest for s in sums)
    if not np.isfinite(squares + changes):
        return ValueChange(sums[0].name, None, None)
    relative = float(np.sqrt(changes / squares)) if squares else float("inf")
    return ValueChange(sums[0].name, relative, largest)
