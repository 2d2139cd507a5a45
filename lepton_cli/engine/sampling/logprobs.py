"""Log-probabilities of an answer's tokens and of the most likely ones, before sampling."""

import numpy as np
from numpy.typing import NDArray

from lepton_cli.engine.events import TokenLogprobs
from lepton_cli.engine.sampling.candidates import Candidates


def log_probabilities(logits: NDArray[np.float32]) -> NDArray[np.float64]:  # (V,) -> (V,)
    values = logits.astype(np.float64)
    values -= values.max()
    values -= np.log(np.exp(values).sum())
    return values


def token_logprobs(logits: NDArray[np.float32], token: int, count: int) -> TokenLogprobs:  # (V,)
    """Natural logarithms of the model's own distribution, with the `count` most likely tokens."""
    values = log_probabilities(logits)
    if not count:
        return TokenLogprobs(token, float(values[token]), ())
    best = Candidates(np.arange(len(values), dtype=np.int32), values).likeliest(count)
    top = tuple((int(n), float(values[n])) for n in best)
    return TokenLogprobs(token, float(values[token]), top)
