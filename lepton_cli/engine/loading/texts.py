"""A model that is opened for what it makes of texts: rows, which are pooled, instead of answers."""

from dataclasses import dataclass
from typing import Literal

from lepton_cli.engine.loading import plan as loading
from lepton_cli.engine.loading.adapters import BoundAdapters
from lepton_cli.models.pooling import Pool, Pooling, pooling_of
from ops.program import Program
from quant.errors import UsageError
from quant.gguf import GGUF

Asked = Pooling | Literal["file"]
LONGEST = 8192
"""Tokens of a text that has to be run in one pass, unless more are asked for."""


@dataclass(frozen=True, slots=True)
class TextModel:
    """`body` makes a row of each token; `head`, if there is one, goes on with the pooled row."""

    body: Program
    pool: Pool
    head: Program | None

    @classmethod
    def of(cls, file: GGUF, context: int, asked: Asked, adapters: BoundAdapters) -> "TextModel":
        """Raises UsageError for a file that names no pooling, ModelFileError."""
        kind = loading.architecture(file)
        with loading.naming(file, *adapters.paths):
            decoder = kind(file, context)
            decoder.directions = adapters.directions
            pooling = pooling_of(decoder) if asked == "file" else asked
            if pooling is None:
                message = f"{file.path} names no pooling of its tokens' rows"
                raise UsageError(message, "choose one, e.g. --pooling mean (or last, cls, none)")
            pool = Pool(decoder, pooling)
            if pooling == "rank" and not pool.has_head:
                message = f"{file.path} is no reranker: it has no matrices cls and cls.output"
                raise UsageError(message, "compare its vectors: lepton embed, lepton similar")
            body = adapters.recorded(decoder.rows_of_texts, file, "hidden")
            loading.check_seen(decoder, body)
            head = adapters.recorded(pool.head, file, "hidden") if pool.has_head else None
            programs = [body] if head is None else [body, head]
            if decoder.generates:  # asks for the tensors that only generation needs
                programs.append(adapters.recorded(decoder.forward, file))
            if decoder.start_token is not None:
                programs.append(adapters.recorded(decoder.encode, file, "hidden"))
        loading.check_all_used(decoder)
        adapters.check_used(programs, decoder.further_blocks)
        return cls(body, pool, head)


def names_pooling(file: GGUF) -> bool:
    """Whether the model is for embeddings: an encoder, or the file names a pooling."""
    kind = loading.architecture(file)
    with loading.naming(file):
        decoder = kind(file, 1)
        return not decoder.generates or pooling_of(decoder) is not None
