"""The output of `lepton run`: only the answer, one JSON object, or one JSON object per event.

stdout gets the exact answer and one newline; reasoning, notes and counts go to stderr. "schema"
names the form of the JSON; incompatible changes get a new name.
"""

from dataclasses import dataclass
from typing import Protocol, TextIO

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.decoding.tool_use import ToolCalling, ToolUse, call_record
from lepton_cli.engine.events import Done, Event, Filled, Prefill, Reasoning, Text
from lepton_cli.engine.library.json_values import Plain, plain
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.model import Model
from lepton_cli.engine.sampling.setting import record
from lepton_cli.engine.text.messages import ToolCall
from lepton_cli.engine.text.tokenizer import Tokenizer
from lepton_cli.ui.arguments.options.chat import ReasoningMode
from lepton_cli.ui.reports.code_blocks import Which, extracted
from lepton_cli.ui.terminal.output import LineWriter, emit_json
from lepton_cli.ui.terminal.status_line import ERASE_LINE
from lepton_cli.ui.terminal.terminal import redraws, sanitize, uses_color

SCHEMA = "lepton.run.v1"
SLANTED, PLAIN = "\x1b[3m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Start:
    """What is known before the first token; enough to reproduce the answer."""

    model: Model
    generation: Generation  # with the seed in use
    samplers: tuple[str, ...]  # the active ones, in order
    template: str | None  # None: a raw prompt
    load_seconds: float
    extract: Which | None = None  # which code block to extract
    calling: ToolCalling | None = None  # only with tools
    use: ToolUse | None = None

    def parted(self, text: str, reasoning: str, done: Done) -> tuple[str, tuple[ToolCall, ...]]:
        """The text of an answer and its calls of tools."""
        if self.calling is None or self.use is None:
            return text, ()
        prefix = f"call_{self.generation.sampling.seed}_"
        return self.calling.split(text, reasoning, done.token_ids, self.use, prefix)

    def record(self) -> dict[str, Plain]:
        model, how = self.model, self.generation
        return {
            "schema": SCHEMA,
            "model": {
                "name": model.name,
                "path": str(model.path),
                "architecture": model.architecture,
                "parameters": model.parameter_count,
                "file_bytes": model.file_bytes,
                **model.adapters.record(),
            },
            "fingerprint": model.fingerprint,
            "backend": model.backend,
            "threads": model.threads,
            "template": self.template,
            "seed": how.sampling.seed,
            "samplers": list(self.samplers),
            **record(how),
            "sampling": record(how.sampling),
        }


class RunReport(Protocol):
    """Prints one run; `close` is called last, even after a failure."""

    def event(self, event: Event) -> None: ...
    def close(self) -> None: ...


class PlainReport:
    """Prints the answer on stdout as it comes, and reasoning as requested."""

    def __init__(self, reasoning: ReasoningMode, stdout: TextIO, stderr: TextIO) -> None:
        self._reasoning, self._stdout, self._stderr = reasoning, LineWriter(stdout), stderr
        self._slants, self._redraws = uses_color(stderr), redraws(stderr)
        self._thinking = self._answering = self._progressing = False

    def event(self, event: Event) -> None:
        match event:
            case Prefill(done, total) if self._redraws:
                self._show_progress("reading the prompt", done, total)
            case Filled(done, total) if self._redraws:
                self._show_progress("filling in the answer", done, total)
            case Reasoning(text) if self._reasoning == "show":
                self._thinking = self._answering = True
                self._stdout.write(text)
            case Reasoning(text) if self._reasoning == "stderr":
                self._thinking = True
                text = sanitize(text)
                self._aside(SLANTED + text + PLAIN if self._slants else text)
            case Text(text):
                self.end_thoughts()
                self._answering = True
                self._stdout.write(text)
            case Done():
                self.end_thoughts()
                self._answering = True

    def close(self) -> None:
        """Ends the answer with one newline, even an empty or interrupted one."""
        if self._progressing:
            self._aside(ERASE_LINE)
        if self._answering:
            self._stdout.write("\n")

    def _show_progress(self, doing: str, done: int, total: int) -> None:
        if done < total:
            self._aside(f"{ERASE_LINE}{doing}: {done}/{counted(total, 'token')}")
        elif self._progressing:
            self._aside(ERASE_LINE)
        self._progressing = done < total

    def end_thoughts(self) -> None:
        if self._thinking and self._reasoning == "show":
            self._stdout.write("\n\n")
        elif self._thinking:
            self._aside("\n")
        self._thinking = False

    def _aside(self, text: str) -> None:
        self._stderr.write(text)
        self._stderr.flush()


class HeldReport:
    """Holds the text of an answer back until its end, to print a part of it."""

    def __init__(self, around: PlainReport, stderr: TextIO) -> None:
        self.around, self._stderr = around, stderr
        self.reasoning, self._text = list[str](), list[str]()

    def event(self, event: Event) -> None:
        match event:
            case Text(text):
                self._text.append(text)
            case Done():
                text, self._text = "".join(self._text), []
                self.end(text, event)
            case _:
                if isinstance(event, Reasoning):
                    self.reasoning.append(event.text)
                self.around.event(event)

    def end(self, text: str, done: Done) -> None:
        """Prints what is wanted of the whole text."""
        raise NotImplementedError

    def aside(self, text: str) -> None:
        """Prints text on stderr that is not what is wanted."""
        self.around.end_thoughts()
        if text:
            self._stderr.write(sanitize(text).removesuffix("\n") + "\n")

    def close(self) -> None:
        """The text of an answer that was broken off by an error goes to stderr."""
        if self._text:
            self.aside("".join(self._text))
        self.around.close()


class ExtractReport(HeldReport):
    """Prints only a code block on stdout; an answer without one goes to stderr."""

    def __init__(self, which: Which, around: PlainReport, stderr: TextIO) -> None:
        super().__init__(around, stderr)
        self._which = which

    def end(self, text: str, done: Done) -> None:
        block = extracted(text, self._which)
        if block is None:
            self.aside(text)
        else:
            self.around.event(Text(block))


class JsonReport:
    """Prints one JSON object at the end."""

    def __init__(self, start: Start, stdout: TextIO) -> None:
        self._start, self._stdout = start, stdout
        self._text: list[str] = []
        self._reasoning: list[str] = []

    def event(self, event: Event) -> None:
        match event:
            case Text(text):
                self._text.append(text)
            case Reasoning(text):
                self._reasoning.append(text)
            case Done():
                thought = "".join(self._reasoning)
                text, calls = self._start.parted("".join(self._text), thought, event)
                answer: dict[str, Plain] = {
                    "text": text,
                    **called(self._start, calls),
                    **extraction(self._start, text),
                    "reasoning": thought or None,
                }
                emit_json(
                    self._stdout, {**self._start.record(), **answer, **ending(self._start, event)}
                )

    def close(self) -> None:
        pass


class JsonLinesReport:
    """Prints one JSON object per event: start, reasoning, text, end."""

    def __init__(self, start: Start, stdout: TextIO) -> None:
        self._start, self._stdout = start, stdout
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._emit("start", start.record())

    def event(self, event: Event) -> None:
        match event:
            case Text(text):
                self._text.append(text)
                self._emit("text", {"text": text})
            case Reasoning(text):
                self._reasoning.append(text)
                self._emit("reasoning", {"text": text})
            case Done():
                text = "".join(self._text)
                _, calls = self._start.parted(text, "".join(self._reasoning), event)
                parts = called(self._start, calls) | extraction(self._start, text)
                self._emit("end", {**parts, **ending(self._start, event)})

    def close(self) -> None:
        pass

    def _emit(self, name: str, fields: dict[str, Plain]) -> None:
        emit_json(self._stdout, {"event": name, **fields})


def called(start: Start, calls: tuple[ToolCall, ...]) -> dict[str, Plain]:
    """The field for calls of tools, if there are tools; in OpenAI's form."""
    if start.calling is None:
        return {}
    return {"tool_calls": [*map(call_record, calls)]}


def extraction(start: Start, text: str) -> dict[str, Plain]:
    """The fields for the extracted code block, if requested."""
    return {} if start.extract is None else {"extracted": extracted(text, start.extract)}


def ending(start: Start, done: Done) -> dict[str, Plain]:
    stats, tokenizer = done.stats, start.model.tokenizer
    chances: list[Plain] = [
        {
            **_likely(tokenizer, each.token, each.logprob),
            "top": [_likely(tokenizer, *pair) for pair in each.top],
        }
        for each in done.logprobs
    ]
    logprobs = {} if start.generation.logprobs is None else {"logprobs": chances}
    return {
        **logprobs,
        "finish_reason": done.reason,
        "stop_string": done.stop_string,
        "unmet": done.unmet.message if done.unmet else None,
        "token_ids": list(done.token_ids),
        "counts": {
            "prompt": stats.prompt_tokens,
            "cached": stats.cached_tokens,
            "dropped": stats.dropped_tokens,
            "generated": stats.generated_tokens,
            "reasoning": stats.reasoning_tokens,
            "guessed": stats.guessed_tokens,
            "accepted": stats.accepted_tokens,
            "context_used": stats.context_used,
            "context_size": stats.context_size,
        },
        "timings": {
            "load_seconds": start.load_seconds,
            "prefill_seconds": stats.prefill_seconds,
            "decode_seconds": stats.decode_seconds,
            "prefill_tokens_per_second": rate(
                stats.prompt_tokens - stats.cached_tokens, stats.prefill_seconds
            ),
            "decode_tokens_per_second": rate(stats.generated_tokens, stats.decode_seconds),
        },
    }


def _likely(tokenizer: Tokenizer, token: int, logprob: float) -> dict[str, Plain]:
    """A token with its log-probability; its bytes are given if it is not valid text."""
    text = tokenizer.token_bytes(token, render_special=True).decode(errors="replace")
    return {"token": token, "text": text, "logprob": plain(logprob)}


def rate(tokens: int, seconds: float) -> float | None:
    return tokens / seconds if seconds > 0 else None
