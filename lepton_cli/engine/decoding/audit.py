"""The audit log: one line of JSON per answer, for those who must account for a model's output.

Nothing is logged unless asked. A line is on disk before the answer's last event; a log that cannot
be written ends the run, since there must be no answer without its log entry. The prompt is the
exact text that the model read, special tokens included; counts and seed are those in use.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from lepton_cli.engine.decoding.beam_search import Beam
from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.decoding.scheduler import Outcome, Request
from lepton_cli.engine.events import Done, Event, FinishReason, Reasoning, Text
from lepton_cli.engine.library.json_values import Plain, json_line
from lepton_cli.engine.library.outputs import append_lines, is_stream, open_stream
from lepton_cli.engine.loading.adapters import LiveAdapters
from lepton_cli.engine.sampling.setting import record
from lepton_cli.engine.text.tokenizer import Tokenizer
from lepton_cli.version import __version__
from ops.files.own_files import named_file, open_file
from quant.errors import LeptonError, UsageError

SCHEMA = "lepton.audit.v1"
PREFIX = b'{"schema": "lepton.audit.'  # of the lines of every version


class LoggedModel(Protocol):
    """What the log says about a model; scales of adapters may change between answers."""

    adapters: LiveAdapters

    @property
    def name(self) -> str: ...
    @property
    def path(self) -> Path: ...
    @property
    def identity(self) -> str: ...
    @property
    def tokenizer(self) -> Tokenizer: ...


class AuditLog:
    """One file, which several processes may append to; a new one is private (0600)."""

    def __init__(self, path: Path, model: LoggedModel) -> None:
        """Raises UsageError."""
        self._path, self._model, self._tokenizer = path, model, model.tokenizer
        try:
            self._stream = open_stream(path) if is_stream(path) else None
            if self._stream is None:
                with self._open() as handle:
                    _check_log(path, handle)
        except OSError as error:
            message = f"cannot write the log {path}: {error.strerror}"
            raise UsageError(message, "name another --audit file") from error

    def log_events(
        self, ids: Sequence[int], generation: Generation, seed: int, events: Iterable[Event]
    ) -> Iterator[Event]:
        """Passes events through; logs the answer before its last event, or when they stop."""
        parts: dict[type[Event], list[str]] = {Text: [], Reasoning: []}
        done: Done | None = None
        try:
            for event in events:
                if isinstance(event, Text | Reasoning):
                    parts[type(event)].append(event.text)
                elif isinstance(event, Done):
                    done = event
                    self._log(ids, generation, seed, _entry(parts, done, len(ids)))
                yield event
        finally:
            if done is None:  # interrupted or failed: log what there is
                self._log(ids, generation, seed, _entry(parts, None, len(ids)))

    def log_outcomes(
        self,
        requests: Iterable[Request],
        answered: Callable[[Iterable[Request]], Iterator[Outcome]],
    ) -> Iterator[Outcome]:
        """Answers requests with `answered`; logs each outcome before it is yielded."""
        under_way: dict[int, Request] = {}

        def noting_requests() -> Iterator[Request]:
            for request in requests:
                under_way[request.key] = request
                yield request

        for outcome in answered(noting_requests()):
            request = under_way.pop(outcome.key)
            parts: dict[type[Event], list[str]] = {
                Text: [outcome.text],
                Reasoning: [outcome.reasoning],
            }
            seed = request.generation.sampling.seed
            entry = _entry(parts, outcome.done, len(request.ids))
            self._log(request.ids, request.generation, seed, entry)
            yield outcome

    def log_beams(self, ids: Sequence[int], generation: Generation, found: Sequence[Beam]) -> None:
        """Logs one line per beam. `seed` is null: beam search draws no random numbers."""
        for beam in found:
            counts: dict[str, Plain] = {"prompt": len(ids), "generated": len(beam.token_ids)}
            entry = _Entry(beam.text, beam.reasoning, beam.reason, counts)
            self._log(ids, generation, None, entry)

    def _log(
        self,
        ids: Sequence[int],
        generation: Generation,
        seed: int | None,
        entry: "_Entry",
    ) -> None:
        prompt = b"".join(self._tokenizer.token_bytes(token, render_special=True) for token in ids)
        self._append(
            {
                "schema": SCHEMA,
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "lepton": __version__,
                "model": _described(self._model),
                "prompt": prompt.decode(errors="replace"),
                "text": entry.text,
                "reasoning": entry.reasoning,
                "finish_reason": entry.reason,
                "unmet": entry.unmet,
                "counts": entry.counts,
                "parameters": {**record(generation.sampling), "seed": seed},
                **record(generation),
            }
        )

    def _append(self, record: dict[str, Plain]) -> None:
        line = (json_line(record) + "\n").encode()
        try:
            if self._stream is not None:
                os.write(self._stream, line)
                return
            with self._open() as handle:
                append_lines(handle, line)
        except OSError as error:
            message = f"cannot write the log {self._path}: {error.strerror}"
            raise LeptonError(message, "make room, or name another --audit file") from error

    @contextmanager
    def _open(self) -> Iterator[int]:
        """Opens the file anew for each line, since log rotation may move it away."""
        handle = open_file(named_file(self._path), os.O_RDWR | os.O_APPEND | os.O_CREAT)
        try:
            yield handle
        finally:
            os.close(handle)


def _described(model: LoggedModel) -> dict[str, Plain]:
    named = {"name": model.name, "path": str(model.path), "identity": model.identity}
    return {**named, **model.adapters.record()}


def _check_log(path: Path, handle: int) -> None:
    """Raises UsageError for a file that is not an audit log."""
    head = os.read(handle, len(PREFIX))
    if head not in (b"", PREFIX):
        message = f"{path} is not an audit log: it begins with {head.decode(errors='replace')!r}"
        raise UsageError(message, "name another --audit file")


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is logged of one answer."""

    text: str
    reasoning: str
    reason: FinishReason | None  # None: interrupted or failed
    counts: dict[str, Plain]
    unmet: str | None = None  # why it does not meet its constraint


def _entry(parts: dict[type[Event], list[str]], done: Done | None, prompt: int) -> _Entry:
    """The log entry of an answer; without `done` only the prompt's tokens are counted."""
    text, reasoning = ("".join(parts[kind]) for kind in (Text, Reasoning))
    if done is None:
        return _Entry(text, reasoning, None, {"prompt": prompt})
    counts = asdict(done.stats)
    names = ("prompt", "cached", "dropped", "generated")
    logged = {name: counts[f"{name}_tokens"] for name in names}
    unmet = done.unmet.message if done.unmet else None
    return _Entry(text, reasoning, done.reason, logged, unmet)
