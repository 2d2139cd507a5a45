"""`lepton diff`: what differs between two models, as text or JSON."""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict

import typer

from lepton_cli.engine.files.differences import (
    Differences,
    KeyChange,
    TensorChange,
    TensorFacts,
    ValueChange,
    compare,
)
from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.library.json_values import Plain, plain
from lepton_cli.engine.library.sizes import counted
from lepton_cli.ui.reports.numbers import columns
from lepton_cli.ui.reports.progress import ByteProgress
from lepton_cli.ui.terminal.output import emit, emit_json
from quant.gguf import GGUF

SCHEMA = "lepton.diff.v1"
DIFFERENT = 1  # the exit code, as diff's
LONGEST = 60  # characters of a value that are shown
LAYER = re.compile(r"\bblk\.\d+\.")
AHEAD = 12  # of these, those before the first difference


def show(first: str, second: str, top: int, *, json: bool) -> None:
    """Exits with 1 if there are differences, as diff does."""
    paths = resolve(first), resolve(second)
    before, after = (GGUF.open(path) for path in paths)
    with ByteProgress("comparing values") as progress:
        found = compare(before, after, progress)
    if json:
        emit_json(sys.stdout, {"schema": SCHEMA, "paths": [*map(str, paths)], **_plain(found)})
    else:
        emit(sys.stdout, "".join(_sections(found, top)))
    if found.any:
        raise typer.Exit(DIFFERENT)


def _plain(found: Differences) -> dict[str, Plain]:
    record = {key: _finite(value) for key, value in asdict(found).items()}
    return {"different": found.any, **record}


def _finite(value: object) -> Plain:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return plain(value)


def _sections(found: Differences, top: int) -> Iterator[str]:
    keys = [
        *(("- " + key, _cut(_text(value))) for key, value in found.keys_removed.items()),
        *(("+ " + key, _cut(_text(value))) for key, value in found.keys_added.items()),
        *(("! " + change.key, _changed(change)) for change in found.keys_changed),
    ]
    tensors = [
        *(("- " + name, _facts(facts)) for name, facts in found.tensors_removed.items()),
        *(("+ " + name, _facts(facts)) for name, facts in found.tensors_added.items()),
        *(("! " + change.name, _retyped(change)) for change in found.tensors_changed),
    ]
    if keys:
        yield "keys\n" + columns(keys)
    if tensors:
        yield "tensors\n" + columns(_by_layers(tensors))
    if found.values_changed:
        shown = found.values_changed[:top]
        rows = [("values", "relative change", "largest change")]
        rows += [("! " + change.name, *_numbers(change)) for change in shown]
        yield columns(rows, right=(1, 2))
    if found.any:
        yield _summary(found, top)


def _by_layers(rows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """One row for what is the same in several layers."""
    alike = Counter((LAYER.sub("blk.*.", name), said) for name, said in rows)
    return [
        (name, said if count == 1 else f"{said}, in {count} layers")
        for (name, said), count in alike.items()
    ]


def _summary(found: Differences, top: int) -> str:
    count, rest = len(found.values_changed), len(found.values_changed) - top
    more = f"; {rest} more than those above, --top {count} shows all" if rest > 0 else ""
    compared = counted(found.tensors_compared, "tensor")
    return f"values of {count} of {compared} in both files differ{more}\n"


def _numbers(change: ValueChange) -> tuple[str, str]:
    if change.relative is None or change.largest is None:
        return "not finite", ""
    return f"{change.relative:.3g}", f"{change.largest:.3g}"


def _facts(facts: TensorFacts) -> str:
    return f"{facts.format} {' x '.join(map(str, facts.shape))}"


def _retyped(change: TensorChange) -> str:
    before, after = change.before, change.after
    if before.shape == after.shape:
        return f"{before.format} -> {_facts(after)}"
    return f"{_facts(before)} -> {_facts(after)}"


def _changed(change: KeyChange) -> str:
    """Both values from a little before their first difference on."""
    before, after = _text(change.before), _text(change.after)
    if change.items is not None:
        return change.items
    pairs = enumerate(zip(before, after, strict=False))
    same = next((n for n, (x, y) in pairs if x != y), min(len(before), len(after)))
    start = max(0, same - AHEAD) if max(len(before), len(after)) > LONGEST else 0
    return f"{_cut(before, start)} -> {_cut(after, start)}"


def _cut(text: str, start: int = 0) -> str:
    begin, end = "…" if start else "", "…" if len(text) - start > LONGEST else ""
    return f"{begin}{text[start : start + LONGEST]}{end}"


def _text(value: Plain) -> str:
    match value:
        case {"array_length": int(length)}:
            return counted(length, "item")
        case str():
            return repr(value)
        case list(items):
            return f"[{', '.join(map(_text, items))}]"
        case other:
            return str(other)
