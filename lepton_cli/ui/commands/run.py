"""`lepton run`: one prompt in, one answer out, for scripts."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import typer

from lepton_cli.engine.chat.session import Session
from lepton_cli.engine.decoding.tool_use import ToolCalling, ToolUse
from lepton_cli.engine.events import Done, Event, Text
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.model import Model
from lepton_cli.engine.prefixes.recall import WORTH_STORING
from lepton_cli.engine.sampling.sampler import Sampler
from lepton_cli.ui.arguments.constraints import check_form
from lepton_cli.ui.arguments.options.answer import AnswerOptions
from lepton_cli.ui.arguments.options.chat import ConversationOptions, ReasoningMode
from lepton_cli.ui.arguments.options.diffusion import DiffusionOptions
from lepton_cli.ui.arguments.options.model import ModelOptions
from lepton_cli.ui.arguments.options.prompt import PromptOptions, RunOptions
from lepton_cli.ui.arguments.options.sampling import SamplingOptions
from lepton_cli.ui.arguments.prompt import gather
from lepton_cli.ui.arguments.settings import (
    diffusion_settings,
    generation_settings,
    note_without_template,
)
from lepton_cli.ui.arguments.text_values import one_text
from lepton_cli.ui.arguments.tools import tool_use
from lepton_cli.ui.commands.library.offer import resolve_or_pull
from lepton_cli.ui.open_model import keep_weights, open_model
from lepton_cli.ui.reports.code_blocks import Which, without_block
from lepton_cli.ui.reports.report import (
    ExtractReport,
    JsonLinesReport,
    JsonReport,
    PlainReport,
    RunReport,
    Start,
    rate,
)
from lepton_cli.ui.reports.several_answers import check_several, print_several, wanted_block
from lepton_cli.ui.terminal.interrupt import ALL, interrupting
from lepton_cli.ui.terminal.notes import note
from quant.errors import UsageError


@dataclass(frozen=True, slots=True)
class RunRequest:
    """The command line's request: `name` of the model, `words` of the prompt, options."""

    name: str
    words: str | None
    model: ModelOptions
    prompt: PromptOptions
    talk: ConversationOptions
    answer: AnswerOptions
    sampling: SamplingOptions
    diffusion: DiffusionOptions
    how: RunOptions


def answer_prompt(request: RunRequest) -> None:
    """Prints the answer. Raises typer.Exit when it was interrupted, LeptonError when it failed."""
    if request.how.json and request.how.jsonl:
        raise UsageError("--json and --jsonl are both given", "give one of them")
    path, talk = resolve_or_pull(request.name), request.talk  # before waiting for stdin
    check_form(request.answer)
    check_several(request.how)
    use = tool_use(request.how, request.answer)
    system = one_text("--system-prompt", talk.system_prompt, talk.system_prompt_file)
    prompt = gather(request.words, request.prompt, sys.stdin)
    begin = time.perf_counter()
    with open_model(path, request.model, talk) as model:
        raw = _completes(request, model, system)
        if raw:
            note_without_template(request.answer, talk)
        start = _start(request, model, raw=raw, begin=begin)
        if use is not None:
            start = _with_tools(start, use)
        session = Session(model, start.generation, system, thinking=talk.think)
        flag, special = session.interrupt, request.how.parse_special
        ids = model.tokenizer.encode(prompt, parse_special=special) if raw else []
        if request.how.candidates > 1 or request.how.beams:
            with interrupting(flag, signals=ALL) as came:
                whole = print_several(start, ids or session.prompt_for(prompt), request.how, flag)
            if whole:
                keep_weights(model, verbose=request.model.verbose)
            raise typer.Exit(0 if whole else came.exit_code)
        with interrupting(flag, signals=ALL) as came:
            events = model.stream(ids, start.generation, flag) if raw else session.send(prompt)
            done = _follow(events, _report(request, start), start.extract)
            lost = model.remember(done.stats.prompt_tokens, WORTH_STORING)
            if lost:
                note(lost)
        if done.reason != "interrupted":
            keep_weights(model, verbose=request.model.verbose)
    _note_ending(done, start, request)
    if done.reason == "interrupted":
        raise typer.Exit(came.exit_code)
    if done.unmet:
        raise done.unmet


def _completes(request: RunRequest, model: Model, system: str | None) -> bool:
    """Whether the prompt is completed without template: on request, or if there is none."""
    chosen = request.talk.chat_template is not None or request.talk.chat_template_file is not None
    if request.how.raw or not (chosen or model.template.from_file):
        if system is not None:
            raise UsageError("a system prompt needs a chat template", "try --chat-template chatml")
        return True
    if model.template.note:
        note(model.template.note)
    return False


def _start(request: RunRequest, model: Model, *, raw: bool, begin: float) -> Start:
    prompt = request.prompt
    settings = generation_settings(
        request.answer, request.talk, request.sampling, model, request.name, escape=prompt.escape
    )
    sampler = Sampler(settings.sampling, model.tokenizer, ignore_eos=settings.ignore_eos)
    seeded = replace(settings.sampling, seed=sampler.seed)
    return Start(
        model=model,
        generation=replace(
            settings,
            sampling=seeded,
            split_reasoning=not raw,
            logprobs=request.how.logprobs,
            diffusion=diffusion_settings(request.diffusion),
        ),
        samplers=sampler.describe(),
        template=None if raw else model.template.name,
        load_seconds=time.perf_counter() - begin,
        extract=wanted_block(request.how),
    )


def _with_tools(start: Start, use: ToolUse) -> Start:
    if start.template is None:
        raise UsageError("--tools needs a chat template", "give one with --chat-template-file")
    calling = ToolCalling(start.model)
    return replace(start, generation=calling.asked(start.generation, use), calling=calling, use=use)


def _report(request: RunRequest, start: Start) -> RunReport:
    if request.how.json:
        return JsonReport(start, sys.stdout)
    if request.how.jsonl:
        return JsonLinesReport(start, sys.stdout)
    reasoning = request.talk.reasoning or "stderr"
    if start.extract is None and start.calling is None:
        return PlainReport(reasoning, sys.stdout, sys.stderr)
    aside: ReasoningMode = "hide" if reasoning == "hide" else "stderr"
    around = PlainReport(aside, sys.stdout, sys.stderr)
    if start.extract is None:
        from lepton_cli.ui.reports.tool_calls import CallsReport

        return CallsReport(start, around, sys.stdout, sys.stderr)
    return ExtractReport(start.extract, around, sys.stderr)


def _follow(events: Iterator[Event], report: RunReport, extract: Which | None) -> Done:
    said = list[str]()
    try:
        for event in events:
            if isinstance(event, Text):
                said.append(event.text)
            elif isinstance(event, Done) and extract:
                event = without_block(event, "".join(said), extract)
            report.event(event)
    finally:
        report.close()
    assert isinstance(event, Done), "a stream ends with Done"
    return event


def _note_ending(done: Done, start: Start, request: RunRequest) -> None:
    """Prints notes about what was dropped or cut, and the speed with -v."""
    stats = done.stats
    if stats.dropped_tokens:
        dropped, policy = counted(stats.dropped_tokens, "token"), start.generation.overflow
        note(f"dropped from the prompt: {dropped} (--overflow {policy})")
    if done.reason == "context":
        note(f"the answer was cut: the context of {stats.context_size} tokens is full (-c)")
    if not request.model.verbose:
        return
    read = rate(stats.prompt_tokens - stats.cached_tokens, stats.prefill_seconds) or 0
    spoken = rate(stats.generated_tokens, stats.decode_seconds) or 0
    note(f"loaded in {start.load_seconds:.2f} s")
    prompt = counted(stats.prompt_tokens, "token")
    note(f"prompt: {prompt} in {stats.prefill_seconds:.2f} s, {read:.1f} t/s")
    note(f"answer: {stats.generated_tokens} in {stats.decode_seconds:.2f} s, {spoken:.1f} t/s")
    if stats.guessed_tokens:
        note(f"draft tokens: {stats.guessed_tokens}, accepted: {stats.accepted_tokens}")
    note(f"ended by {done.reason}; context {stats.context_used} of {stats.context_size}")
    note(f"seed {start.generation.sampling.seed}; {' -> '.join(start.samplers)}")
