"""`lepton batch`: answers every row of a file; an interrupted run can be continued."""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lepton_cli.engine.jobs.parameters import KNOWN
from lepton_cli.engine.jobs.planning import DATED, Recipe, plan
from lepton_cli.engine.jobs.prose import TextOutput
from lepton_cli.engine.jobs.rows import Row
from lepton_cli.engine.jobs.running import Run
from lepton_cli.engine.jobs.wording import Wording
from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.model import Model
from lepton_cli.ui.arguments.adapters import adapters_of
from lepton_cli.ui.arguments.constraints import check_form
from lepton_cli.ui.arguments.files_read import files_read
from lepton_cli.ui.arguments.input_rows import column_text, read_input, read_jobs
from lepton_cli.ui.arguments.options.answer import AnswerOptions
from lepton_cli.ui.arguments.options.batch import ResultOptions, RowOptions
from lepton_cli.ui.arguments.options.chat import ConversationOptions
from lepton_cli.ui.arguments.options.model import ModelOptions
from lepton_cli.ui.arguments.options.sampling import SamplingOptions
from lepton_cli.ui.arguments.settings import generation_settings, note_without_template
from lepton_cli.ui.arguments.text_values import one_text
from lepton_cli.ui.commands.row_run import run_rows
from lepton_cli.ui.open_model import keep_weights, load_options, open_model
from lepton_cli.ui.reports.batch_meter import BatchMeter
from lepton_cli.ui.reports.batch_output import BatchOutput, check_apart, open_results
from lepton_cli.ui.terminal.notes import note
from quant.errors import UsageError

if TYPE_CHECKING:
    from lepton_cli.engine.jobs.cluster import ClusterModel

SIMILAR = 0.8  # similarity of a column to a parameter's name that suggests a typing error


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """The command line's request: `name` of the model, `input` file, options."""

    name: str
    input: str | None
    model: ModelOptions
    rows: RowOptions
    results: ResultOptions
    talk: ConversationOptions
    answer: AnswerOptions
    sampling: SamplingOptions


def answer_rows(request: BatchRequest) -> None:
    """Raises typer.Exit if rows failed or were left, LeptonError if nothing can be done."""
    path, at_once = resolve(request.name), read_jobs(request.rows.jobs)
    check_form(request.answer)
    prose, wording = _prose(request), _wording(request)
    rows = _read(request)
    wording.check(rows)
    _note_columns(rows, wording)
    with (
        open_results(request.results, prose, _taken(request, path)) as results,
        _open(request, path) as (model, computing),
    ):
        recipe = replace(_recipe(request, model, wording), arithmetic=computing)
        code = _answer(model, recipe, rows, results, at_once)
    if code:
        raise typer.Exit(code)


def _taken(request: BatchRequest, path: Path) -> dict[str, str]:
    """The files that no result may replace. Raises UsageError for a log that is one of them."""
    talk, answer, log = request.talk, request.answer, request.model.audit
    texts = talk.system_prompt_file, talk.chat_template_file
    forms = answer.json_schema_file, answer.grammar_file
    adapters, inputs = adapters_of(request.model), [request.input or "-"]
    taken = files_read(path, adapters, inputs, (*texts, *forms))
    if log is None:
        return taken
    check_apart([Path(log)], taken, "name another --audit file")
    return {**taken, log: "the audit log"}


@contextmanager
def _open(
    request: BatchRequest, path: Path
) -> "Iterator[tuple[Model, str] | tuple[ClusterModel, str]]":
    """The model or cluster, and the name of its arithmetic."""
    wanted = request.model
    for name, is_given in (
        ("-md", wanted.model_draft is not None),
        ("--spec-type", wanted.spec_type not in ("auto", "none")),
    ):
        if is_given:
            note(f"{name} is ignored: batches do not use speculative decoding")
    alone = replace(wanted, model_draft=None, spec_type="none")
    address = request.rows.cluster
    if address is None:
        with open_model(path, alone, request.talk) as model:
            yield model, model.arithmetic
            keep_weights(model, verbose=wanted.verbose)
        return
    if request.model.audit is not None:
        raise UsageError("--audit cannot be used with --cluster", "remove one of them")
    if find_spec("distributed") is None:
        cure = "pip install 'lepton-cli[cluster]'"
        raise UsageError("--cluster needs Dask, which is not installed", cure)
    from lepton_cli.engine.jobs.cluster import open_cluster

    load = load_options(alone, request.talk)
    with open_cluster(address, request.name, load) as cluster:
        for text in (
            *cluster.tokenizer.notes,
            *([cluster.summary] if request.model.verbose else []),
        ):
            note(text)
        yield cluster, cluster.arithmetic


def _answer(
    model: "Model | ClusterModel",
    recipe: Recipe,
    rows: Sequence[Row],
    results: BatchOutput,
    at_once: int | None,
) -> int:
    """The exit code."""
    fingerprint = results.resumed(recipe.fingerprint(model.identity))
    jobs = plan(rows, recipe, fingerprint)
    keys = [job.key for job in jobs]
    kept = results.known(fingerprint, keys)
    run = Run(model, recipe, fingerprint, [job for job in jobs if job.key not in kept])
    meter = BatchMeter(run, len(jobs), kept.values())
    return run_rows(run, meter, results, keys, at_once, meter.print_summary)


def _recipe(request: BatchRequest, model: "Model | ClusterModel", wording: Wording) -> Recipe:
    rows, talk, options, asked = request.rows, request.talk, request.model, request.sampling
    template = one_text("--chat-template", talk.chat_template, talk.chat_template_file)
    raw = rows.raw or (template is None and not model.template.from_file)
    if raw and wording.system is not None:
        raise UsageError("a system prompt needs a chat template", "try --chat-template chatml")
    if raw:
        note_without_template(request.answer, request.talk)
    elif model.template.note:
        note(model.template.note)
    generation = generation_settings(
        request.answer, talk, asked, model, request.name, escape=rows.escape
    )
    cache = f"{options.cache_type_k}/{options.cache_type_v}"
    seed = 0 if asked.seed is None else asked.seed
    return Recipe(
        wording=replace(wording, raw=raw),
        generation=generation,
        seed=None if seed < 0 else seed,
        thinking=talk.think,
        template=template,
        setting=(model.backend, f"context {options.ctx_size}", f"cache {cache}"),
        day=None if raw or not DATED.search(model.template.source) else date.today(),
    )


def _wording(request: BatchRequest) -> Wording:
    rows, talk = request.rows, request.talk
    system = one_text("--system-prompt", talk.system_prompt, talk.system_prompt_file)
    return Wording(
        prompt=column_text(rows.prompt, "-p", escape=rows.escape),
        system=column_text(system, "-sys", escape=False),
        parse_special=rows.parse_special,
        shape=None if request.results.output_template is None else "lepton",
        schema_check=request.answer.schema_check,
    )


def _prose(request: BatchRequest) -> TextOutput | None:
    source = request.results.output_template
    text = column_text(source, "--output-template", escape=request.rows.escape)
    return None if text is None else TextOutput(text)


def _read(request: BatchRequest) -> list[Row]:
    name, rows = request.input, request.rows
    if name is None:
        raise UsageError("no input file given", "lepton batch MODEL INPUT; - is stdin")
    return read_input(name, rows.input_format, rows.delimiter)


def _note_columns(rows: Sequence[Row], wording: Wording) -> None:
    """Prints notes on columns that set parameters, and on probably misspelt ones."""
    columns = dict.fromkeys(name for row in rows for name in row.columns)
    free = [name for name in columns if name not in wording.columns]
    used = [name for name in free if name in KNOWN]
    if used and wording.prompt is not None:
        note(f"set by columns of the rows: {', '.join(used)}")
    for name in free:
        near = difflib.get_close_matches(name, KNOWN, 1, SIMILAR)
        if near and name not in KNOWN:
            note(f"the column {name!r} is ignored; did you mean {near[0]}?")
