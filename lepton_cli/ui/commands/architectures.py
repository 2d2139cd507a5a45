"""`lepton models --architectures`: what can be run, and what it was checked against."""

import sys

from lepton_cli.engine.library.architectures import known_architectures
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.ui.reports.numbers import columns
from lepton_cli.ui.terminal.output import emit, emit_json
from lepton_cli.ui.terminal.terminal import width_of
from lepton_cli.ui.terminal.wrapping import cut, most_cells

SCHEMA = "lepton.architectures.v1"
HEADER = ("architecture", "models", "checked against")
GAP, MIN_MODELS = 2, 12  # columns


def show() -> None:
    """Prints the table; only on a terminal are rows cut to its width."""
    rows = [HEADER, *((one.name, one.models, one.checked) for one in known_architectures())]
    width = width_of(sys.stdout)
    if width is None:
        emit(sys.stdout, columns(rows))
        return
    beside = sum(max(most_cells(row[n]) for row in rows) for n in (0, 2)) + 2 * GAP
    room = width - beside
    if room < MIN_MODELS:
        emit(sys.stdout, columns([(name, checked) for name, _, checked in rows]))
        return
    cut_rows = [(name, cut(models, room), checked) for name, models, checked in rows]
    emit(sys.stdout, columns(cut_rows))


def show_json() -> None:
    found: list[Plain] = [
        {"name": one.name, "models": one.models, "recordings": list(one.recordings)}
        for one in known_architectures()
    ]
    emit_json(sys.stdout, {"schema": SCHEMA, "architectures": found})
