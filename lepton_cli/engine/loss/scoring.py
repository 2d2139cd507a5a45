"""What a model says of the scored tokens of a window: its rows of logits, and log-probabilities."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lepton_cli.engine.decoding.generation import check_ids
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.loading.plan import LoadOptions
from lepton_cli.engine.loss.estimates import Scores
from lepton_cli.engine.loss.windows import TokenWindow
from lepton_cli.engine.model import Model
from quant.errors import ContextOverflowError, ModelFileError, UsageError

LOGIT_BYTES = 1 << 27  # of a pass: 256 rows of 128k tokens
Logits = NDArray[np.float32]
Tokens = NDArray[np.int64]


def options_for(options: LoadOptions, size: int) -> LoadOptions:
    """To open a model that reads windows of this many tokens, with many rows of logits a pass."""
    return replace(options, ctx=size, logits=LOGIT_BYTES, prefixes=0, spec_types=())


def scored_logits(
    model: Model,
    window: TokenWindow,
    interrupt: threading.Event | None = None,
    *,
    reuse: bool = False,
) -> Iterator[tuple[Logits, Tokens]]:  # (n, V), (n,)
    """Rows of logits, valid until the next ones, and the tokens that they should predict.

    `reuse`: go on from what the model has read of the window's beginning.

    Raises Interrupted, UsageError for a model that does not predict the next token.
    """
    if model.has_encoder:
        message = f"{model.path} has an encoder: it predicts answers, not how a text goes on"
        raise UsageError(message, "use a model without one")
    check_window(model, window.ids)
    tokens, done = np.array(window.scored, np.int64), 0
    given = window.first - 1, window.ids[:-1], interrupt
    for part in model.window.logits_from(*given, reuse=reuse):
        rows = np.asarray(part)
        yield rows, tokens[done : done + len(rows)]
        done += len(rows)


def settle(model: Model, window: TokenWindow) -> None:
    """Reads a token, which waits until the weights are packed: what follows can be timed."""
    for _ in scored_logits(model, replace(window, ids=window.ids[:2], first=1)):
        pass


def check_window(model: Model, ids: Sequence[int]) -> None:
    """Raises UsageError, ContextOverflowError for what an open model cannot read."""
    check_ids(ids, model.vocabulary_size)
    if len(ids) > model.context_size:
        message = f"a window of {counted(len(ids), 'token')}, the context holds "
        raise ContextOverflowError(f"{message}{model.context_size}", "open it with a larger ctx")


def normalizers(rows: Logits) -> Scores:  # (n, V) -> (n,)
    """The logarithm of the sum of each row's exponentials.

    Row by row, in the processor's cache. Exponentials are float32, their sum float64.
    """
    scratch, found = np.empty(rows.shape[1], np.float32), np.empty(len(rows))
    for number, row in enumerate(rows):
        largest = row.max()
        np.subtract(row, largest, out=scratch)
        np.exp(scratch, out=scratch)
        found[number] = float(largest) + np.log(scratch.sum(dtype=np.float64))
    return found


def token_losses(rows: Logits, tokens: Tokens) -> Scores:  # (n, V), (n,) -> (n,)
    """The negative log-probability of each row's token. Raises ModelFileError."""
    losses: Scores = normalizers(rows) - rows[np.arange(len(tokens)), tokens]
    check_finite(losses)
    return losses


def check_finite(scores: Scores) -> None:
    """Raises ModelFileError."""
    if not np.isfinite(scores).all():
        hint = "the file is probably damaged: compare its size and checksum with the source"
        raise ModelFileError("the model gave no usable probabilities", hint)
