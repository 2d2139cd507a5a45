"""The commands that compare texts by vectors: embed, rerank, similar."""

import typer

from lepton_cli.ui.arguments.options.texts import (
    IndexOptions,
    InputOptions,
    PrefixOptions,
    QueryArguments,
    RankingOptions,
    TextArguments,
    TextModelOptions,
    VectorOptions,
)
from lepton_cli.ui.arguments.words import model_and_text, model_and_texts
from lepton_cli.ui.declarations.declaring import command


@command("embed")
def embed(
    context: typer.Context,
    words: TextArguments,
    model: TextModelOptions,
    texts: InputOptions,
    prefix: PrefixOptions,
    vectors: VectorOptions,
) -> None:
    """Print the vectors (embeddings) of texts: words, lines, JSON or CSV.

    Results are JSONL, lines of numbers or a NumPy array. The same command again
    continues a run that was stopped; a text that fails gives an "error" result.
    """
    name, given = model_and_texts(context, words, model.model)
    from lepton_cli.ui.commands.texts.embed import EmbedRequest, embed_texts

    embed_texts(EmbedRequest(name, given, model, texts, prefix, vectors))


@command("rerank")
def rerank(
    context: typer.Context,
    words: QueryArguments,
    model: TextModelOptions,
    texts: InputOptions,
    ranking: RankingOptions,
) -> None:
    """Print texts in the order in which they answer a query, with their scores.

    The texts are the lines of stdin, or the rows of -f; the model is a reranker.
    """
    name, query = model_and_text(context, words, model.model)
    from lepton_cli.ui.commands.texts.rerank import RerankRequest, rerank_texts

    rerank_texts(RerankRequest(name, query, model, texts, ranking))


@command("similar")
def similar(
    context: typer.Context,
    words: QueryArguments,
    model: TextModelOptions,
    texts: InputOptions,
    index: IndexOptions,
    ranking: RankingOptions,
) -> None:
    """Print the texts of a file whose vectors are nearest to a text's.

    The texts are the lines of stdin, or the rows of -f; the score is the cosine.
    """
    name, text = model_and_text(context, words, model.model)
    from lepton_cli.ui.commands.texts.similar import SimilarRequest, find_similar

    find_similar(SimilarRequest(name, text, model, texts, index, ranking))
