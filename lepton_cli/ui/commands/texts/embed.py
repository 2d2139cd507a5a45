"""`lepton embed`: the vectors of texts; an interrupted run can be continued."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import typer

from lepton_cli.engine.embedding.pooling import VectorForm
from lepton_cli.engine.jobs.prose import MadeOutput
from lepton_cli.engine.jobs.rows import Row
from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.model import Model
from lepton_cli.engine.vectors.array_file import ArrayOutput, Origin
from lepton_cli.engine.vectors.prefixes import prefix_of
from lepton_cli.engine.vectors.records import NumberOutput
from lepton_cli.engine.vectors.running import VectorRun
from lepton_cli.engine.vectors.tasks import Recipe, plan_texts
from lepton_cli.ui.arguments.adapters import lora_of
from lepton_cli.ui.arguments.files_read import files_read
from lepton_cli.ui.arguments.input_rows import column_text, read_jobs, read_texts
from lepton_cli.ui.arguments.options.texts import (
    InputOptions,
    PrefixOptions,
    TextModelOptions,
    VectorFormat,
    VectorOptions,
)
from lepton_cli.ui.arguments.prompt import expand_escapes
from lepton_cli.ui.commands.row_run import run_rows
from lepton_cli.ui.open_model import open_for_texts
from lepton_cli.ui.reports.batch_meter import BatchMeter
from lepton_cli.ui.reports.batch_output import STDOUT, BatchOutput, open_results
from lepton_cli.ui.terminal.notes import note
from quant.errors import UsageError

SUFFIXES: dict[str, VectorFormat] = {".npy": "npy", ".txt": "numbers"}


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """The command line's request: `name` of the model, `words` that are texts, options."""

    name: str
    words: list[str]
    model: TextModelOptions
    texts: InputOptions
    prefix: PrefixOptions
    vectors: VectorOptions


def embed_texts(request: EmbedRequest) -> None:
    """Raises typer.Exit if texts failed or were left, LeptonError if nothing can be done."""
    path, at_once = resolve(request.name), read_jobs(request.texts.jobs)
    kind = _format(request.vectors)
    example = f"lepton embed {request.name} 'a text', or -f FILE"
    rows = read_texts(request.words, request.texts, example=example)
    text = column_text(request.texts.prompt, "-p", escape=request.texts.escape)
    pooling = request.vectors.pooling or "file"
    with open_for_texts(path, request.model, pooling) as model:
        pool = model.embeddings.embedder.pool
        if pool.pooling == "rank" and request.vectors.pooling is None:
            message = f"{model.path} is a reranker: it makes scores, no vectors"
            raise UsageError(message, f"use lepton rerank {request.name} QUERY")
        form = VectorForm(request.vectors.normalize, request.vectors.dimensions)
        width = form.width(model.embeddings.embedder.width)
        recipe = Recipe(
            text,
            read_prefix(request.prefix, model, escape=request.texts.escape),
            pool.pooling,
            form,
            request.model.truncate,
            (model.backend, f"context {model.context_size if request.model.truncate else 0}"),
            model.arithmetic,
        )
        recipe.check(rows)
        if kind != "jsonl" and any(map(recipe.is_request, rows)):
            raise UsageError("OpenAI requests get responses, which are JSONL", "--format jsonl")
        origin = Origin(
            model.identity,
            recipe.pooling,
            recipe.prefix,
            request.prefix.role,
            request.prefix.prefixes,
        )
        made = _made(kind, model, ArrayOutput(width, origin))
        inputs = [] if request.words else request.texts.file or ["-"]
        taken = files_read(path, lora_of(request.model), inputs)
        with open_results(request.vectors, made, taken) as output:
            code = _embed(model, recipe, rows, output, at_once, request)
    if code:
        raise typer.Exit(code)


def _embed(
    model: Model,
    recipe: Recipe,
    rows: Sequence[Row],
    output: BatchOutput,
    at_once: int | None,
    request: EmbedRequest,
) -> int:
    """The exit code."""
    fingerprint = recipe.fingerprint(model.identity)
    tasks = plan_texts(rows, recipe, fingerprint)
    keys = [task.key for task in tasks]
    kept = output.known(fingerprint, keys)
    left = [task for task in tasks if task.key not in kept]
    run = VectorRun(model.embeddings, recipe, fingerprint, left, model.name)
    meter = BatchMeter(run, len(tasks), kept.values(), done="embedded")
    return run_rows(run, meter, output, keys, at_once, partial(_tell, meter, run, request))


def _tell(meter: BatchMeter, run: VectorRun, request: EmbedRequest) -> None:
    """A summary, but of a few words that succeeded."""
    if run.cut:
        note(f"--truncate cut {run.cut} of the texts")
    if not request.words or request.model.verbose or meter.failed or meter.left:
        meter.print_summary()


def _format(options: VectorOptions) -> VectorFormat:
    """Raises UsageError for an array that would have no file, or more than one row a text."""
    kind = options.format
    if kind == "auto":
        kind = SUFFIXES.get(Path(options.output).suffix, "jsonl")
    if kind == "npy" and options.output in STDOUT:
        raise UsageError("an array cannot be printed", "name a file for it: -o OUT.npy")
    if kind == "npy" and options.pooling == "none":
        message = "an array has a row for each text, --pooling none gives one for each token"
        raise UsageError(message, "write JSONL, or choose another pooling")
    return kind


def _made(kind: VectorFormat, model: Model, array: ArrayOutput) -> MadeOutput | None:
    """What is made of the results. Raises UsageError."""
    if kind == "numbers":
        return NumberOutput()
    if kind == "jsonl":
        return None
    if model.embeddings.embedder.pool.row == "all":
        raise UsageError(f"{model.path} has no pooling: a text has many rows", "write JSONL")
    return array


def read_prefix(options: PrefixOptions, model: Model, *, escape: bool) -> str:
    """What stands before each text. Raises UsageError."""
    if options.prefix is not None and options.role is not None:
        raise UsageError("--prefix and --role are both given", "give one of them")
    if options.prefixes is not None and options.role is None:
        raise UsageError(
            "--prefixes says whose, but not which", "add --role query or --role document"
        )
    if options.prefix is not None:
        return expand_escapes(options.prefix, "--prefix") if escape else options.prefix
    if options.role is None:
        for each in model.adapters.states:
            if each.prefix:
                note(f"{each.path} wants a text before each: --prefix {shlex.quote(each.prefix)}")
        return ""
    found = prefix_of(options.role, options.prefixes, model.metadata)
    note(f"before each text: {quoted(found)}")
    return found


def quoted(prefix: str) -> str:
    """Within quotes, with escapes for line ends."""
    return json.dumps(prefix, ensure_ascii=False)
