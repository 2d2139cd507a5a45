"""What a model that was opened for embeddings does with texts: vectors, and a reranker's scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from lepton_cli.engine.decoding.window import Passes
from lepton_cli.engine.embedding.embedder import Embedder
from lepton_cli.engine.embedding.pooling import UNIT, Rows, Scores, VectorForm
from lepton_cli.engine.embedding.sequences import Sequences
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.loading.prepare import Prepared
from lepton_cli.engine.text.tokenizer import Tokenizer
from quant.errors import LeptonError, UsageError
from quant.gguf import Metadata

RERANK = "tokenizer.chat_template.rerank"
Texts = str | Sequence[str] | Sequence[Sequence[int]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Embeddings:
    """`most`: the tokens of a text that the model reads; `longest`: with the largest context."""

    embedder: Embedder
    metadata: Metadata
    most: int
    longest: int
    vocabulary: int
    tokenizer: Callable[[], Tokenizer]

    def sequences(self, *, truncate: bool = False) -> Sequences:
        """What the model reads of texts."""
        return Sequences(self.tokenizer, self.most, self.longest, self.vocabulary, truncate)

    def embed(
        self,
        texts_or_ids: Texts,
        form: VectorForm = UNIT,
        *,
        truncate: bool = False,
        at_once: int | None = None,
    ) -> Rows:
        """See Model.embed. `at_once`: how many texts a pass may hold."""
        given: Sequence[str | Sequence[int]]
        given = [texts_or_ids] if isinstance(texts_or_ids, str) else texts_or_ids
        sequences = self.sequences(truncate=truncate)
        ids = [_named(n, partial(sequences.of, each)) for n, each in enumerate(given, 1)]
        return self._matrix(ids, form, at_once)

    def rerank(
        self,
        query: str,
        texts: Sequence[str],
        *,
        truncate: bool = False,
        at_once: int | None = None,
    ) -> Scores:
        """See Model.rerank."""
        sequences, template = self.sequences(truncate=truncate), self.rerank_template
        pairs = [
            _named(n, partial(sequences.of_pair, query, text, template))
            for n, text in enumerate(texts, 1)
        ]
        scores: Scores = self._matrix(pairs, VectorForm(normalize=False), at_once)[:, 0]
        return scores

    def _matrix(
        self, texts: Sequence[Sequence[int]], form: VectorForm, at_once: int | None
    ) -> Rows:  # (n, width)
        """The results of all texts, in their order. Raises LeptonError, naming a text."""
        empty, found = np.empty((0, form.width(self.embedder.width)), np.float32), dict[int, Rows]()
        for numbers in self.embedder.batches(texts, at_once):
            results = self.embedder.run([texts[number] for number in numbers])
            found |= zip(numbers, results, strict=True)
        rows = (_named(n + 1, partial(form.of, found[n])) for n in range(len(texts)))
        return np.concatenate([empty, *rows])

    @property
    def rerank_template(self) -> str | None:
        """How the file puts a query and a text together. Raises UsageError if it is no reranker."""
        if self.embedder.pool.pooling != "rank":
            message = f"{self.metadata.path} makes vectors of texts; it is no reranker"
            raise UsageError(message, "compare its vectors: lepton embed, lepton similar")
        return self.metadata.string(RERANK, "") or None


def _named(number: int, read: Callable[[], T]) -> T:
    """Names the text in its error."""
    try:
        return read()
    except LeptonError as error:
        raise type(error)(f"text {number}: {error.message}", error.hint) from error


def open_embeddings(
    prepared: Prepared,
    passes: Passes,
    options: LoadOptions,
    metadata: Metadata,
    tokenizer: Callable[[], Tokenizer],
    room: Callable[[], int],
) -> Embeddings | None:
    """None for a model that is to generate. `room`: see Embedder. Raises LeptonError."""
    if prepared.texts is None:
        return None
    body, head, plan = prepared.texts.body, prepared.texts.head, prepared.plan
    embedder = Embedder(
        passes,
        prepared.texts.pool,
        prepared.open_text_head(options),
        (head or body).output.buffer.width,
        min(passes.chunk, options.ubatch),
        room,
    )
    longest = max(plan.longest, prepared.trained)
    return Embeddings(embedder, metadata, plan.context, longest, body.vocabulary, tokenizer)
