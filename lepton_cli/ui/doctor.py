"""`lepton doctor`: the findings about this machine, as lines to read or as JSON."""

import sys
from dataclasses import asdict

from lepton_cli.engine.diagnosis import Finding, findings
from lepton_cli.ui.figures import columns
from lepton_cli.ui.output import emit, emit_json

SCHEMA = "lepton.doctor.v1"


def show() -> None:
    emit(sys.stdout, columns([(found.subject, _told(found)) for found in findings()]))


def show_json() -> None:
    emit_json(sys.stdout, {"schema": SCHEMA, "findings": [asdict(found) for found in findings()]})


def _told(finding: Finding) -> str:
    return f"{finding.value} ({finding.reason})" if finding.reason else finding.value
