"""The output of `lepton run --tools`: the calls in an answer, a JSON object in a line each."""

import json
from typing import TextIO

from lepton_cli.engine.events import Done, Event, Reasoning, Text
from lepton_cli.ui.reports.report import PlainReport, Start
from lepton_cli.ui.terminal.output import emit_json
from lepton_cli.ui.terminal.terminal import sanitize


class CallsReport:
    """Prints only the calls on stdout, and other text on stderr; the text if there are none."""

    def __init__(self, start: Start, around: PlainReport, stdout: TextIO, stderr: TextIO) -> None:
        self._start, self._around = start, around
        self._stdout, self._stderr = stdout, stderr
        self._text, self._reasoning = list[str](), list[str]()

    def event(self, event: Event) -> None:
        match event:
            case Text(text):
                self._text.append(text)
            case Done():
                self._end(event)
            case _:
                if isinstance(event, Reasoning):
                    self._reasoning.append(event.text)
                self._around.event(event)

    def _end(self, done: Done) -> None:
        text, calls = self._start.parted("".join(self._text), "".join(self._reasoning), done)
        self._text = []
        if not calls:
            self._around.event(Text(text))
            self._around.event(done)
            return
        self._around.end_thoughts()
        if text:
            self._stderr.write(sanitize(text).removesuffix("\n") + "\n")
        for call in calls:
            record = {"name": call.name, "arguments": json.loads(call.arguments)}
            emit_json(self._stdout, {**record, "id": call.id})

    def close(self) -> None:
        if self._text:  # the answer was broken off
            self._around.event(Text("".join(self._text)))
        self._around.close()
