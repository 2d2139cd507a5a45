"""`lepton draft`: tries what may guess for a model, prints a table, remembers the best."""

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from shlex import join

import typer

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.drafting import remembered
from lepton_cli.engine.drafting.candidates import (
    HEAD,
    LOOKUP,
    Candidate,
    Skipped,
    check_takes_drafts,
    found_candidates,
    model_candidate,
    pruned_candidates,
    use,
)
from lepton_cli.engine.drafting.measuring import Measured, Trial, answers_of, measure
from lepton_cli.engine.drafting.remembered import Pair
from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.loss.trials import open_on_cpu
from lepton_cli.engine.model import Model
from lepton_cli.engine.sampling.author_defaults import apply_author_defaults
from lepton_cli.engine.sampling.sampler import Sampling
from lepton_cli.ui.arguments.lists import words
from lepton_cli.ui.arguments.options.measuring import (
    DraftingOptions,
    DraftTextOptions,
    MeasuredModelOptions,
)
from lepton_cli.ui.commands.measuring.reading import command_of, measuring_options, windowed
from lepton_cli.ui.open_model import draft_options, keep_weights, open_measured
from lepton_cli.ui.reports.compile_notes import CompileNotes
from lepton_cli.ui.reports.measuring.draft_table import Result, records, table
from lepton_cli.ui.reports.numbers import columns
from lepton_cli.ui.terminal.interrupt import interrupting
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.output import emit, emit_json
from lepton_cli.ui.terminal.status_line import StatusLine
from quant.errors import LeptonError, UsageError
from quant.gguf import GGUF

SCHEMA, LIST_SCHEMA = "lepton.draft.v1", "lepton.drafts.v1"
ALL, PRUNED = "all", "pruned"


@dataclass(frozen=True, slots=True)
class DraftRequest:
    """The command line's request: `name` of the model, `word` for the text's file, options."""

    name: str
    word: str | None
    model: MeasuredModelOptions
    text: DraftTextOptions
    what: DraftingOptions
    json: bool


def show_pairs(*, json: bool) -> None:
    """Prints what is remembered. Raises LeptonError."""
    pairs = list(remembered.remembered_pairs())
    if json:
        rows: list[Plain] = [_pair_record(pair) for pair in pairs]
        emit_json(sys.stdout, {"schema": LIST_SCHEMA, "drafts": rows})
        return
    if not pairs:
        note("no draft is remembered; `lepton draft MODEL text.txt` measures")
        return
    rows_of = [(p.model, p.draft or p.kind, f"{p.speedup:.2f}x", p.measured) for p in pairs]
    emit(sys.stdout, columns([("model", "draft", "speed-up", "measured"), *rows_of], right=(2,)))


def _pair_record(pair: Pair) -> dict[str, Plain]:
    return {
        "model": pair.model,
        "type": pair.kind,
        "draft": pair.draft,
        "speedup": pair.speedup,
        "spread": pair.spread,
        "measured": pair.measured,
    }


def forget_pair(name: str) -> None:
    """Forgets the draft of a model; by its listed path, even if the file is gone."""
    pairs = [pair for pair in remembered.remembered_pairs() if pair.model == os.path.abspath(name)]
    if not pairs:
        found = remembered.remembered(GGUF.open(resolve(name)))
        pairs = [] if found is None else [found]
    for pair in pairs:
        remembered.forget(pair)
    if not pairs:
        note(f"no draft was remembered for {name}")


def show_draft(request: DraftRequest) -> None:
    """Raises typer.Exit after Ctrl-C, LeptonError."""
    run = _Run(request, resolve(request.name))
    stop = threading.Event()
    with interrupting(stop) as came:
        results = run.results(stop)
    if not results and not stop.is_set():
        raise UsageError("no candidate is left to measure", "leave out --candidates, to try all")
    _print(run, results)
    if stop.is_set():
        done = counted(len(results), "candidate")
        note(f"interrupted: {done} measured, perhaps with fewer rounds; none is remembered")
        raise typer.Exit(came.exit_code)
    _remember(run, results)


class _Run:
    """The measurement of one model."""

    def __init__(self, request: DraftRequest, path: Path) -> None:
        """Raises LeptonError for options or a text that cannot be used."""
        self.request, self.path, self.file = request, path, GGUF.open(path)
        if request.model.backend == "reference":
            message = "the reference backend defines results, not speeds"
            raise UsageError(message, "leave out --backend reference")
        if not request.what.draft_max:
            raise UsageError("with --draft-max 0 nothing is guessed", "use --draft-max 1 or more")
        check_takes_drafts(self.file)
        command = command_of("draft", request.name)
        text = windowed(path, command, request.word, request.text)
        self.windows = [window.ids for window in text.windows]
        self.prompts = [ids[: len(ids) // 2] for ids in self.windows]
        what = request.what
        size = len(self.prompts[0]) + what.predict + what.draft_max
        options = measuring_options(request.model, size)
        self.options: LoadOptions = replace(options, logits=0, spec_types="auto")
        self.wanted = words(what.candidates, ALL)

    def results(self, stop: threading.Event) -> list[Result]:
        """What was measured; less of it if `stop` was set. Raises LeptonError."""
        found, results = list(self._candidates(stop)), list[Result]()
        if stop.is_set():
            return results
        with (
            open_measured(self.path, self.options, self.request.model) as model,
            StatusLine() as line,
        ):
            trial = Trial(self.prompts, self._generation(model), self.request.what.rounds)
            for candidate in found:
                if stop.is_set():
                    break
                last = self._measured(model, candidate, trial, stop, line)
                if last is not None:
                    results.append((candidate, last))
                    if self.request.model.verbose:
                        line.clear()
                        note(f"{candidate.name}: {last.speedup:.2f}x, {last.rate:.1f} t/s")
        return results

    def _measured(
        self,
        model: Model,
        candidate: Candidate,
        trial: Trial,
        stop: threading.Event,
        line: StatusLine,
    ) -> Measured | None:
        line(f"{candidate.name}: opening")
        try:
            use(model, candidate, draft_options(self.options))
        except LeptonError as error:  # of another vocabulary, or it does not fit into memory
            if candidate is not HEAD or self.wanted != [ALL]:
                _skip(candidate.name, error.message, line)
            return None
        keep_weights(model)  # nothing is to be written while speeds are measured
        last = None
        line(f"{candidate.name}: warming up")
        for last in measure(candidate.name, answers_of(model, stop), trial):
            done = f"round {len(last.rounds)} of {trial.rounds}"
            line(f"{candidate.name}: {done}, {last.speedup:.2f}x")
        return last

    def _generation(self, model: Model) -> Generation:
        what = self.request.what
        base = Sampling(temperature=what.temp, seed=what.seed)
        sampling = apply_author_defaults(base, model.metadata, {"temperature"})
        return Generation(
            sampling,
            what.predict,
            split_reasoning=False,
            draft_max=what.draft_max,
            draft_p_min=what.draft_p_min,
        )

    def _candidates(self, stop: threading.Event) -> Iterator[Candidate]:
        """Without what cannot be tried, of which notes tell."""
        fixed = {candidate.name: candidate for candidate in (LOOKUP, HEAD)}
        for word in dict.fromkeys(self.wanted):
            if word == ALL:
                yield from (LOOKUP, HEAD, *found_candidates(self.file))
            if word in fixed:
                yield fixed[word]
            elif word in (ALL, PRUNED):
                yield from self._pruned(stop)
            else:
                try:
                    yield model_candidate(word, resolve(word), self.file)
                except LeptonError as error:
                    _skip(word, error.message)

    def _pruned(self, stop: threading.Event) -> Iterator[Candidate]:
        running = self.request.model
        start = open_on_cpu(running.threads, CompileNotes(verbose=running.verbose))
        windows = takewhile(lambda _: not stop.is_set(), self.windows)
        for each in pruned_candidates(self.file, windows, start):
            if isinstance(each, Skipped):
                _skip(each.name, each.reason)
            else:
                yield each

    def command(self, candidate: Candidate) -> str:
        """What to type to use it, or to make it."""
        typed = self.request.name
        if candidate.without:
            layers = ",".join(map(str, sorted(candidate.without)))
            out = f"{self.path.stem}-draft.gguf"
            return join(["lepton", "prune", typed, out, "--drop-layers", layers])
        draft = [] if candidate.path is None else ["-md", str(candidate.path)]
        options = [*draft, "--spec-type", candidate.kind, *self._set_options(candidate)]
        return join(["lepton", "run", typed, *options])

    def _set_options(self, candidate: Candidate) -> Iterator[str]:
        """Those that `lepton run` has too, with values that are not its own."""
        what, usual = self.request.what, Generation()
        if what.draft_max != usual.draft_max:
            yield from ("--draft-max", str(what.draft_max))
        if candidate is not LOOKUP and what.draft_p_min != usual.draft_p_min:
            yield from ("--draft-p-min", f"{what.draft_p_min:g}")


def _skip(name: str, reason: str, line: StatusLine | None = None) -> None:
    if line is not None:
        line.clear()
    note(f"skipped: {reason}" if name in reason else f"{name} is skipped: {reason}")


def _best(results: Sequence[Result]) -> Result | None:
    """The one that is fastest for certain, if it is faster than plain decoding."""
    best = max(results, key=lambda result: result[1].least, default=None)
    return best if best is not None and best[1].least > 1 else None


def _remember(run: _Run, results: Sequence[Result]) -> None:
    """Remembers the best of those that can be used as they are, and says what `-md auto` uses."""
    best = _best([each for each in results if not each[0].without])
    if best is not None:
        candidate, found = best
        figures = found.speedup, found.spread
        remembered.remember(remembered.pair_of(run.file, candidate.kind, candidate.path, *figures))
        note(f"remembered for -md auto: {candidate.name}")
        return
    before = remembered.remembered(run.file)
    if before is not None:
        forget = command_of("draft", run.request.name) + " --forget"
        note(f"-md auto still uses {before.draft or before.kind}; to forget it: {forget}")


def _print(run: _Run, results: Sequence[Result]) -> None:
    best = _best(results)
    if run.request.json:
        emit_json(sys.stdout, _record(run, results, best))
    elif results:
        emit(sys.stdout, table(results, None if best is None else best[0]))
        emit(sys.stdout, f"{_advice(run, best)}\n")


def _advice(run: _Run, best: Result | None) -> str:
    if best is None:
        return "none is faster than plain decoding by more than the rounds differ"
    return f"to {'make' if best[0].without else 'use'} it: {run.command(best[0])}"


def _record(run: _Run, results: Sequence[Result], best: Result | None) -> dict[str, Plain]:
    commands = [run.command(candidate) for candidate, _ in results]
    rows: list[Plain] = [*records(results, commands)]
    return {
        "schema": SCHEMA,
        "model": str(run.path),
        "prompts": len(run.prompts),
        "prompt_tokens": len(run.prompts[0]),
        "predict": run.request.what.predict,
        "rounds": run.request.what.rounds,
        "candidates": rows,
        "best": None if best is None else best[0].name,
    }
