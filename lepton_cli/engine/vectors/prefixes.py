"""What authors of embedding models want in front of queries and of documents.

Models are trained with these texts; without them the nearest texts are found less well. llama.cpp
adds none, and GGUF has no key for them: they are chosen by the model's published name.
"""

from dataclasses import dataclass
from typing import Literal

from quant.errors import UsageError
from quant.gguf import Metadata

Role = Literal["query", "document"]
INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
NAMES = ("general.basename", "general.name", "general.base_model.0.name")


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Of a family of models, known by a part of their names."""

    names: tuple[str, ...]
    query: str
    document: str = ""


FAMILIES = {
    "e5": Prefixes(("e5-small", "e5-base", "e5-large"), "query: ", "passage: "),
    "e5-instruct": Prefixes(
        ("e5-large-instruct", "e5-mistral"), f"Instruct: {INSTRUCTION}\nQuery: "
    ),
    "nomic": Prefixes(("nomic-embed-text",), "search_query: ", "search_document: "),
    "bge": Prefixes(
        ("bge-small-en", "bge-base-en", "bge-large-en"),
        "Represent this sentence for searching relevant passages: ",
    ),
    "mxbai": Prefixes(
        ("mxbai-embed", "snowflake-arctic-embed-s", "snowflake-arctic-embed-m"),
        "Represent this sentence for searching relevant passages: ",
    ),
    "arctic": Prefixes(("snowflake-arctic-embed-l-v2", "arctic-embed-m-v2"), "query: "),
    "gemma": Prefixes(
        ("embeddinggemma", "embedding-gemma"),
        "task: search result | query: ",
        "title: none | text: ",
    ),
    "qwen3": Prefixes(("qwen3-embedding",), f"Instruct: {INSTRUCTION}\nQuery:"),
}


def prefix_of(role: Role, family: str | None, metadata: Metadata) -> str:
    """By the family's name, or else by the model's names. Raises UsageError for unknown ones."""
    known = ", ".join(FAMILIES)
    if family is not None:
        if family not in FAMILIES:
            raise UsageError(f"--prefixes is {family!r}", f"known are {known}")
        return _text(FAMILIES[family], role)
    named = [str(metadata[key]).lower().replace(" ", "-") for key in NAMES if key in metadata]
    found = [
        (len(part), each)
        for each in FAMILIES.values()
        for part in each.names
        if any(part in name for name in named)
    ]
    if not found:
        message = f"no prefixes are known for {metadata.path}"
        raise UsageError(message, f"choose those of another model: --prefixes {known}; or --prefix")
    return _text(max(found, key=lambda each: each[0])[1], role)


def _text(prefixes: Prefixes, role: Role) -> str:
    return prefixes.query if role == "query" else prefixes.document
