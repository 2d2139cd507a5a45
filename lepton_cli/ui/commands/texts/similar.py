"""`lepton similar`: the texts of a file whose vectors are nearest to a text's."""

from dataclasses import dataclass
from pathlib import Path

from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.model import Model
from lepton_cli.engine.vectors.ranking import Index, nearest, open_index
from lepton_cli.ui.arguments.input_rows import named_texts, read_jobs
from lepton_cli.ui.arguments.options.texts import (
    IndexOptions,
    InputOptions,
    PrefixOptions,
    RankingOptions,
    TextModelOptions,
)
from lepton_cli.ui.commands.texts.embed import quoted, read_prefix
from lepton_cli.ui.open_model import open_for_texts
from lepton_cli.ui.reports.ranking import print_ranking
from lepton_cli.ui.terminal.notes import note
from quant.errors import UsageError

TOP = 10


@dataclass(frozen=True, slots=True)
class SimilarRequest:
    """The command line's request: `name` of the model, the text, options."""

    name: str
    text: str | None
    model: TextModelOptions
    texts: InputOptions
    index: IndexOptions
    ranking: RankingOptions


def find_similar(request: SimilarRequest) -> None:
    """Raises LeptonError."""
    path, at_once = resolve(request.name), read_jobs(request.texts.jobs)
    example = f"lepton similar {request.name} 'a text' -f lines.txt"
    if request.text is None:
        raise UsageError("no text given", f"for example: {example}")
    rows, texts = named_texts(request.texts, example=example)
    name = request.index.index
    index = None if name is None else open_index(Path(name), len(rows))
    with open_for_texts(path, request.model, index.pooling if index else "file") as model:
        if index is not None:
            index.check(model.identity, model.path, model.embeddings.embedder.width)
        ranking = nearest(
            model.embeddings,
            _prefix(request, index, model) + request.text,
            texts,
            index,
            TOP if request.ranking.top is None else request.ranking.top,
            truncate=request.model.truncate,
            at_once=at_once,
        )
        if ranking.missing:
            where = f" in {index.path}" if index else ""
            count = f"{ranking.missing} of {counted(len(texts), 'text')}"
            note(f"left out, without a vector{where}: {count}")
        print_ranking(ranking.best, rows, texts, jsonl=request.ranking.jsonl)


def _prefix(request: SimilarRequest, index: Index | None, model: Model) -> str:
    """The one asked for, or that of queries if the index's texts have that of documents."""
    given, origin = request.index.prefix, index.origin if index else None
    if given is None and origin is not None and origin.role is not None:
        wanted = PrefixOptions(role="query", prefixes=origin.prefixes)
        return read_prefix(wanted, model, escape=request.texts.escape)
    found = read_prefix(PrefixOptions(prefix=given), model, escape=request.texts.escape)
    if index and origin and origin.prefix and origin.prefix != found:
        own = quoted(found) if found else "none: --prefix adds one"
        note(f"the texts of {index.path} have the prefix {quoted(origin.prefix)}, this one {own}")
    return found
