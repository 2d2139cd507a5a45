"""`lepton rerank`: how well each text answers a query, the best first."""

from dataclasses import dataclass

from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.vectors.ranking import judged
from lepton_cli.ui.arguments.input_rows import named_texts, read_jobs
from lepton_cli.ui.arguments.options.texts import InputOptions, RankingOptions, TextModelOptions
from lepton_cli.ui.open_model import open_for_texts
from lepton_cli.ui.reports.ranking import print_ranking
from quant.errors import UsageError


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """The command line's request: `name` of the model, the query, options."""

    name: str
    query: str | None
    model: TextModelOptions
    texts: InputOptions
    ranking: RankingOptions


def rerank_texts(request: RerankRequest) -> None:
    """Raises LeptonError, naming the row, for a text that cannot be scored."""
    path, at_once = resolve(request.name), read_jobs(request.texts.jobs)
    example = f"lepton rerank {request.name} 'a query' < lines.txt"
    if request.query is None:
        raise UsageError("no query given", f"for example: {example}")
    rows, texts = named_texts(request.texts, example=example)
    with open_for_texts(path, request.model, "rank") as model:
        ranking = judged(
            model.embeddings,
            request.query,
            texts,
            request.ranking.top or 0,
            truncate=request.model.truncate,
            at_once=at_once,
        )
        print_ranking(ranking.best, rows, texts, jsonl=request.ranking.jsonl)
