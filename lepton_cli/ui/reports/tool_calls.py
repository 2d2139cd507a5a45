"""The output of `lepton run --tools`: the calls in an answer, a JSON object in a line each."""

import json
from typing import TextIO

from lepton_cli.engine.events import Done, Text
from lepton_cli.ui.reports.report import HeldReport, PlainReport, Start
from lepton_cli.ui.terminal.output import emit_json


class CallsReport(HeldReport):
    """Prints only the calls on stdout, and other text on stderr; the text if there are none."""

    def __init__(self, start: Start, around: PlainReport, stdout: TextIO, stderr: TextIO) -> None:
        super().__init__(around, stderr)
        self._start, self._stdout = start, stdout

    def end(self, text: str, done: Done) -> None:
        text, calls = self._start.parted(text, "".join(self.reasoning), done)
        if not calls:
            self.around.event(Text(text))
            self.around.event(done)
            return
        self.aside(text)
        for call in calls:
            record = {"name": call.name, "arguments": json.loads(call.arguments)}
            emit_json(self._stdout, {**record, "id": call.id})
