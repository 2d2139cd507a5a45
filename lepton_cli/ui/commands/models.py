"""`lepton models`: the models on this disk, and those of the catalogue with how to get them."""

import sys
from collections.abc import Sequence

from lepton_cli.engine.library.catalogue import Alias
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.library.known_models import KnownModel, known_models
from lepton_cli.ui.reports.numbers import columns, size
from lepton_cli.ui.terminal.output import emit, emit_json
from lepton_cli.ui.terminal.terminal import width_of
from lepton_cli.ui.terminal.wrapping import cut, most_cells

SCHEMA = "lepton.models.v1"
GAP = 2  # columns between columns
MIN_NAME = 12  # columns
GET_ONE = "to get one: lepton pull NAME\n"


def show() -> None:
    """Prints the tables; only on a terminal are rows cut to its width."""
    known, width = known_models(), width_of(sys.stdout)
    text = _on_disk([model for model in known if model.path is not None], width)
    absent = [model.alias for model in known if model.alias and model.path is None]
    if absent:
        text += "\n" + _catalogue(absent, width)
    emit(sys.stdout, text)


def show_json() -> None:
    models: list[Plain] = [
        {"name": known.name, "bytes": known.bytes, "path": known.path, "source": known.source}
        for known in known_models()
    ]
    emit_json(sys.stdout, {"schema": SCHEMA, "models": models})


def _on_disk(models: Sequence[KnownModel], width: int | None) -> str:
    rows = [(model.name, _size(model.bytes), model.source) for model in models]
    beside = _widest(rows, 1) + _widest(rows, 2) + 2 * GAP
    room = None if width is None else max(width - beside, MIN_NAME)
    names = [name for name, *_ in rows]
    rows = [(_shown(name, names, room), size, source) for name, size, source in rows]
    return columns([("name", "size", "where"), *rows], right=(1,))


def _shown(name: str, names: Sequence[str], room: int | None) -> str:
    """The name, or only its file name if that is unique and the full name is too long.

    A name that is still too long is cut.
    """
    if room is None or most_cells(name) <= room:
        return name
    file = name.rpartition("/")[2]
    files = [other.rpartition("/")[2] for other in names]
    is_name = file.endswith(".gguf") and files.count(file) == 1
    return cut(file if is_name else name, room)


def _catalogue(aliases: Sequence[Alias], width: int | None) -> str:
    """The catalogue, and how to get a model of it."""
    rows = [(alias.name, _size(alias.size), str(alias.repo)) for alias in aliases]
    rows = [("name", "size", "on huggingface.co"), *rows]
    if width is not None:
        room = width - _widest(rows, 0) - _widest(rows, 1) - 2 * GAP
        rows = [(name, size, cut(repo, room)) for name, size, repo in rows]
    return columns(rows, right=(1,)) + GET_ONE


def _widest(rows: Sequence[Sequence[str]], column: int) -> int:
    return max(most_cells(row[column]) for row in rows)


def _size(count: int | None) -> str:
    return size(count) if count else ""
