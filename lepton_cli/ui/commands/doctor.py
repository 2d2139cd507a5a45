"""`lepton doctor`: the findings about this machine, as lines to read or as JSON."""

import sys
from dataclasses import asdict

from lepton_cli.engine.measure.diagnosis import findings
from lepton_cli.ui.reports.numbers import columns
from lepton_cli.ui.terminal.output import emit, emit_json

SCHEMA = "lepton.doctor.v1"


def show() -> None:
    emit(sys.stdout, columns([(found.subject, str(found)) for found in findings()]))


def show_json() -> None:
    emit_json(sys.stdout, {"schema": SCHEMA, "findings": [asdict(found) for found in findings()]})
