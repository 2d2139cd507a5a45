"""A log for those who must account for what a model said: a JSON object a line, for each answer.

Nothing is logged unless asked. A line is on disk before the answer's end is told; a log that cannot
be written ends the work, since an answer that nobody can account for is none. The prompt is the
very text that the model read, with its special tokens; its counts and the seed are those in use.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from lepton_cli.engine.decoding.beam_search import Beam
from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.decoding.scheduler import Outcome, Request
from lepton_cli.engine.events import Done, Event, FinishReason, Reasoning, Text
from lepton_cli.engine.library.json_values import Plain, json_line
from lepton_cli.engine.library.outputs import append_lines, is_stream, open_stream
from lepton_cli.engine.sampling.setting import record
from lepton_cli.engine.text.tokenizer import Tokenizer
from lepton_cli.version import __version__
from ops.files.own_files import named_file, open_file
from quant.errors import LeptonError, UsageError

SCHEMA = "lepton.audit.v1"
BEGINNING = b'{"schema": "lepton.audit.'  # of every version's lines


class AuditLog:
    """One file, which several processes may append to; it is its owner's alone (0600)."""

    def __init__(self, path: Path, model: dict[str, Plain], tokenizer: Tokenizer) -> None:
        """`model` is how the log names the model. Raises UsageError."""
        self._path, self._model, self._tokenizer = path, model, tokenizer
        try:
            self._stream = open_stream(path) if is_stream(path) else None
            if self._stream is None:
                with self._opened() as handle:
                    _check_log(path, handle)
        except OSError as error:
            message = f"cannot write the log {path}: {error.strerror}"
            raise UsageError(message, "name another --audit file") from error

    def followed(
        self, ids: Sequence[int], generation: Generation, seed: int, events: Iterable[Event]
    ) -> Iterator[Event]:
        """The same events; what they said is logged before the last of them, or when they end."""
        said: dict[type[Event], list[str]] = {Text: [], Reasoning: []}
        done: Done | None = None
        try:
            for event in events:
                if isinstance(event, Text | Reasoning):
                    said[type(event)].append(event.text)
                elif isinstance(event, Done):
                    done = event
                    self._log(ids, generation, seed, _said(said, done, len(ids)))
                yield event
        finally:
            if done is None:  # broken off, or failed: what was said was said
                self._log(ids, generation, seed, _said(said, None, len(ids)))

    def outcomes(
        self,
        requests: Iterable[Request],
        answered: Callable[[Iterable[Request]], Iterator[Outcome]],
    ) -> Iterator[Outcome]:
        """What a batch makes of requests, each logged before it is given on."""
        under_way: dict[int, Request] = {}

        def noted() -> Iterator[Request]:
            for request in requests:
                under_way[request.key] = request
                yield request

        for outcome in answered(noted()):
            request = under_way.pop(outcome.key)
            said: dict[type[Event], list[str]] = {
                Text: [outcome.text],
                Reasoning: [outcome.reasoning],
            }
            seed = request.generation.sampling.seed
            answer = _said(said, outcome.done, len(request.ids))
            self._log(request.ids, request.generation, seed, answer)
            yield outcome

    def beams(self, ids: Sequence[int], generation: Generation, found: Sequence[Beam]) -> None:
        """The answers of a search, each a line; their seed is null, as none had a part in them."""
        for beam in found:
            counts: dict[str, Plain] = {"prompt": len(ids), "generated": len(beam.token_ids)}
            said = _Said(beam.text, beam.reasoning, beam.reason, counts)
            self._log(ids, generation, None, said)

    def _log(
        self,
        ids: Sequence[int],
        generation: Generation,
        seed: int | None,
        said: "_Said",
    ) -> None:
        read = b"".join(self._tokenizer.token_bytes(token, render_special=True) for token in ids)
        self._append(
            {
                "schema": SCHEMA,
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "lepton": __version__,
                "model": self._model,
                "prompt": read.decode(errors="replace"),
                "text": said.text,
                "reasoning": said.reasoning,
                "finish_reason": said.reason,
                "unmet": said.unmet,
                "counts": said.counts,
                "parameters": {**record(generation.sampling), "seed": seed},
                **record(generation),
            }
        )

    def _append(self, entry: dict[str, Plain]) -> None:
        line = (json_line(entry) + "\n").encode()
        try:
            if self._stream is not None:
                os.write(self._stream, line)
                return
            with self._opened() as handle:
                append_lines(handle, line)
        except OSError as error:
            message = f"cannot write the log {self._path}: {error.strerror}"
            raise LeptonError(message, "make room, or name another --audit file") from error

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The file anew for each line, as somebody may move it away: logs are rotated so."""
        handle = open_file(named_file(self._path), os.O_RDWR | os.O_APPEND | os.O_CREAT)
        try:
            yield handle
        finally:
            os.close(handle)


def _check_log(path: Path, handle: int) -> None:
    """Raises UsageError for a file of something else: nothing is appended to it."""
    head = os.read(handle, len(BEGINNING))
    if head not in (b"", BEGINNING):
        message = f"{path} is no audit log: it begins with {head.decode(errors='replace')!r}"
        raise UsageError(message, "name another --audit file")


@dataclass(frozen=True, slots=True)
class _Said:
    text: str
    reasoning: str
    reason: FinishReason | None  # None: broken off, or failed
    counts: dict[str, Plain]
    unmet: str | None = None  # why it is not what it had to be


def _said(parts: dict[type[Event], list[str]], done: Done | None, prompt: int) -> _Said:
    """Of an answer that was broken off only the prompt's tokens are counted."""
    text, reasoning = ("".join(parts[kind]) for kind in (Text, Reasoning))
    if done is None:
        return _Said(text, reasoning, None, {"prompt": prompt})
    counts = asdict(done.stats)
    names = ("prompt", "cached", "dropped", "generated")
    told = {name: counts[f"{name}_tokens"] for name in names}
    unmet = done.unmet.message if done.unmet else None
    return _Said(text, reasoning, done.reason, told, unmet)
