"""`lepton doctor`: the findings about this machine, as text or JSON."""

import sys
from dataclasses import asdict

from lepton_cli.engine.measure.diagnosis import findings
from lepton_cli.ui.reports.numbers import facts
from lepton_cli.ui.terminal.output import emit, emit_json
from lepton_cli.ui.terminal.terminal import width_of

SCHEMA = "lepton.doctor.v1"


def show() -> None:
    rows = [(found.subject, str(found)) for found in findings()]
    emit(sys.stdout, facts(rows, width_of(sys.stdout)))


def show_json() -> None:
    emit_json(sys.stdout, {"schema": SCHEMA, "findings": [asdict(found) for found in findings()]})
