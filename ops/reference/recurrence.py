"""Recurrent states, one run at a time: loops over its tokens."""

from collections.abc import Iterator, Sequence

import numpy as np

from ops.interface import Ngrams
from ops.operations.recurrence import COLUMNS
from ops.reference.arithmetic import Floats


def unfolded(kept: Floats, columns: int) -> Floats:  # (H, stretches, d, 16) -> (H, d, e)
    """A copy of the matrices of a slot."""
    heads, _, rows, _ = kept.shape
    return kept.swapaxes(1, 2).reshape(heads, rows, -1)[..., :columns].copy()


def fold(state: Floats, kept: Floats) -> None:  # (H, d, e) -> (H, stretches, d, 16)
    """Matrices back into their slot."""
    heads, rows, columns = state.shape
    whole = np.zeros((heads, rows, kept.shape[1] * COLUMNS), np.float32)
    whole[..., :columns] = state
    kept[:] = whole.reshape(heads, rows, -1, COLUMNS).swapaxes(1, 2)


def scan(state: Floats, decay: Floats, b: Floats, x: Floats, c: Floats) -> Iterator[Floats]:
    """(H, d, e), then (T, H, ...): (1 or d, 1 or e), (d,), (e,), (d,) -> (H, e) of each token."""
    for t in range(len(x)):
        state *= decay[t]
        state += b[t][..., None] * x[t][:, None]
        yield np.einsum("hde,hd->he", state, c[t])


def attend(
    state: Floats, q: Floats, k: Floats, v: Floats, decay: Floats, bonus: Floats | None
) -> Iterator[Floats]:
    """(H, d, e), then (T, H, d) twice, (T, H, e), (T, H, d), (H, d) -> (H, e) of each token."""
    for t in range(len(v)):
        grown, before = k[t][..., None] * v[t][:, None], state.copy()  # (H, d, e)
        state *= decay[t][..., None]
        state += grown
        seen = state if bonus is None else before + bonus[..., None] * grown
        yield np.einsum("hde,hd->he", seen, q[t])


def attend_corrected(
    state: Floats, q: Floats, k: Floats, v: Floats, decay: Floats, removed: Floats, added: Floats
) -> Iterator[Floats]:
    """As `attend` without a bonus; `removed` and `added` are (T, H, d)."""
    for t in range(len(v)):
        held = np.einsum("hde,hd->he", state, removed[t])
        state *= decay[t][..., None]
        state += k[t][..., None] * v[t][:, None] + added[t][..., None] * held[:, None]
        yield np.einsum("hde,hd->he", state, q[t])


def learn(
    state: Floats, q: Floats, k: Floats, v: Floats, decay: Floats, rate: Floats
) -> Iterator[Floats]:
    """(H, d, e), then (T, H, ...): (d,) twice, (e,), (1 or d,), () -> (H, e) of each token."""
    for t in range(len(v)):
        state *= decay[t][..., None]
        error = v[t] - np.einsum("hde,hd->he", state, k[t])
        state += k[t][..., None] * (rate[t][:, None] * error)[:, None]
        yield np.einsum("hde,hd->he", state, q[t])


def ngram_rows(tokens: Sequence[int], ngrams: Ngrams) -> list[int]:
    """The rows of a table for these tokens, of which the last is the present one."""
    recent, ended = [int(tokens[-1])], False
    for token in reversed(tokens[:-1]):
        ended = ended or token < 0 or token == ngrams.end
        recent.append(ngrams.end if ended else int(token))
    rows = list[int]()
    for length in range(2, len(recent) + 1):
        mixed = 0
        for token, multiplier in zip(recent[:length], ngrams.multipliers, strict=False):
            mixed ^= token * multiplier % (1 << 64)
        heads = slice((length - 2) * ngrams.heads, (length - 1) * ngrams.heads)
        places = zip(ngrams.sizes[heads], ngrams.offsets[heads], strict=True)
        rows += [mixed % size + offset for size, offset in places]
    return rows
