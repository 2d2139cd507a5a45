"""One answer by masked diffusion: all its tokens are masked, and filled in a few at a time.

LLaDA (Nie et al. 2025), Dream (Ye et al. 2025). Schedules and numbers are llama.cpp's, but of the
entropy, where the least counts as the surest, as with Dream.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lepton_cli.engine.decoding.answer import Answer
from lepton_cli.engine.decoding.generation import Diffusion, Generation
from lepton_cli.engine.decoding.window import Window
from lepton_cli.engine.events import Event, Filled, Stats
from lepton_cli.engine.sampling.draws import position_of
from ops.interface import Interrupted
from quant.errors import ModelFileError, UsageError
from quant.gguf import Metadata

MASK, SHIFTED = "tokenizer.ggml.mask_token_id", "diffusion.shift_logits"

Probabilities = NDArray[np.float64]  # (V,)


@dataclass(frozen=True, slots=True)
class Masks:
    """The token that stands for one to be found.

    Where `shifted`, a token's logits are those of the token before it.
    """

    token: int
    shifted: bool

    @classmethod
    def of(cls, metadata: Metadata, vocabulary: int) -> "Masks":
        """Raises ModelFileError."""
        if MASK not in metadata:
            hint = "without a mask token nothing can be generated; convert the model anew"
            raise ModelFileError(f"{metadata.path}: the key {MASK} is missing", hint)
        token = metadata.integer(MASK)
        if not 0 <= token < vocabulary:
            raise ModelFileError(f"{metadata.path}: {MASK} is {token} of {vocabulary} tokens")
        return cls(token, metadata.boolean(SHIFTED, True))

    def logits_of(self, position: int) -> int:
        """The token whose logits are those of this position."""
        return max(0, position - 1) if self.shifted else position


def check_possible(generation: Generation) -> None:
    """Raises UsageError for what needs one token after the other."""
    for given, flag in (
        (generation.constraint is not None, "a form of the answer (--json-schema, --grammar, ...)"),
        (bool(generation.ban), "--ban"),
        (generation.logprobs is not None, "--logprobs"),
        (generation.sampling.mirostat > 0, "--mirostat"),
        (generation.reasoning_budget > 0, "--reasoning-budget"),
    ):
        if given:
            message = f"this model generates by diffusion, which does not go with {flag}"
            raise UsageError(message, "leave it out, or use another model")


def diffusion_events(
    answer: Answer,
    prompt: Sequence[int],
    window: Window,
    masks: Masks,
    generation: Generation,
    *,
    dropped: int,
    interrupt: threading.Event | None,
) -> Iterator[Event]:
    """Filled, Text and Reasoning events as they come, and Done at the end.

    Text comes as far as tokens are known from the start. The answer has `max_tokens`, or as many
    as a pass has room for. Raises UsageError for more tokens than a pass takes.
    """
    length = generation.max_tokens
    if length is None:
        length = max(1, window.most_at_once - len(prompt))
    length, settings = max(0, length), generation.diffusion
    filling = Filling(answer, prompt, length, window, masks, settings, interrupt)
    begin, place = time.perf_counter(), len(prompt)
    try:
        for done in filling.steps():
            yield Filled(done, length)
            while answer.reason is None and place < len(filling.ids):
                if filling.ids[place] == masks.token:
                    break
                yield from answer.take(filling.ids[place])
                place += 1
            if answer.reason is not None:
                break
    except Interrupted:
        answer.reason = "interrupted"
    answer.reason = answer.reason or "context"
    yield from answer.finish()
    stats = Stats(
        prompt_tokens=len(prompt),
        cached_tokens=0,
        dropped_tokens=dropped,
        generated_tokens=len(answer.drawn),
        prefill_seconds=0.0,
        decode_seconds=time.perf_counter() - begin,
        context_used=len(filling.ids),
        context_size=window.size,
    )
    yield answer.done(stats)


class Filling:
    """The prompt and its answer, `ids`, while masked tokens are filled in."""

    def __init__(
        self,
        answer: Answer,
        prompt: Sequence[int],
        length: int,
        window: Window,
        masks: Masks,
        settings: Diffusion,
        interrupt: threading.Event | None,
    ) -> None:
        self.ids = [*prompt, *[masks.token] * length]
        self._answer, self._first, self._window = answer, len(prompt), window
        self._masks, self._settings, self._interrupt = masks, settings, interrupt

    def steps(self) -> Iterator[int]:
        """Fills in all of the answer; yields after each step how many tokens are known."""
        s, length = self._settings, len(self.ids) - self._first
        block = s.block_length or max(1, length)
        blocks = range(self._first, len(self.ids), block)
        steps = max(1, s.steps // max(1, len(blocks)))
        for start in blocks:
            within = range(start, min(start + block, len(self.ids)))
            for step in range(steps):
                masked = [n for n in within if self.ids[n] == self._masks.token]
                count = self._count(step, steps, len(masked), len(within))
                if count:
                    self._fill(masked, count)
                    yield length - self.ids[self._first :].count(self._masks.token)

    def _count(self, step: int, steps: int, masked: int, block: int) -> int:
        """How many tokens a step fills in: all that are left in the last one.

        In blocks as many in each step; else by times that fall evenly from 1 to `eps`.
        """
        if step == steps - 1:
            return masked
        if self._settings.block_length:
            return min(masked, block // steps + (step < block % steps))
        falls = (1 - self._settings.eps) / steps
        return int(masked * falls / (1 - step * falls))

    def _fill(self, masked: Sequence[int], count: int) -> None:
        """Replaces `count` of the masked tokens, those that count as the surest."""
        rows = self._logits(masked)
        tokens = [self._answer.propose(row) for row in rows]
        confidences = np.array(
            [self._confidence(row, token) for row, token in zip(rows, tokens, strict=True)]
        )
        for n in self._surest(confidences, count):
            self.ids[masked[n]] = tokens[n]

    def _logits(self, masked: Sequence[int]) -> NDArray[np.float32]:  # (M, V)
        """With guidance what the prompt changes counts (1 + `cfg_scale`) times."""
        outputs, scale = [self._masks.logits_of(n) for n in masked], self._settings.cfg_scale
        logits = self._pass(self.ids, outputs)
        if scale > 0:
            free = [*[self._masks.token] * self._first, *self.ids[self._first :]]
            without = self._pass(free, outputs)
            logits = without + np.float32(1 + scale) * (logits - without)
        logits[:, self._masks.token] = -np.inf
        return logits

    def _pass(self, ids: Sequence[int], outputs: Sequence[int]) -> NDArray[np.float32]:
        """A copy: logits are valid only until the next pass."""
        return np.array(self._window.logits_of_whole(ids, outputs, self._interrupt))

    def _confidence(self, logits: NDArray[np.float32], token: int) -> float:
        of = CONFIDENCES.get(self._settings.algorithm)
        if of is None:
            [number] = self._answer.random_numbers(1)
            return number
        weights = np.exp(logits - logits.max(), dtype=np.float64)
        return of(weights / weights.sum(), token)

    def _surest(self, confidences: NDArray[np.float64], count: int) -> list[int]:
        """The first wins a tie. With `alg_temp` drawn by their softmax instead."""
        temperature = self._settings.alg_temp
        if temperature <= 0:
            return [int(n) for n in np.argsort(-confidences, kind="stable")[:count]]
        weights = np.exp((confidences - confidences.max()) / temperature)
        chosen = list[int]()
        for number in self._answer.random_numbers(count):
            chosen.append(position_of(number, weights))
            weights[chosen[-1]] = 0
        return chosen


def _of_token(p: Probabilities, token: int) -> float:
    return float(p[token])


def _negative_entropy(p: Probabilities, token: int) -> float:
    return float((p * np.log(np.maximum(p, 1e-300))).sum())


def _margin(p: Probabilities, token: int) -> float:
    second, first = np.partition(p, len(p) - 2)[-2:] if len(p) > 1 else (0.0, p[0])
    return float(first - second)


CONFIDENCES: dict[int, Callable[[Probabilities, int], float]] = {
    1: _negative_entropy,
    2: _margin,
    4: _of_token,
}
"""By llama.cpp's numbers; 0 and 3 fill in at random."""
