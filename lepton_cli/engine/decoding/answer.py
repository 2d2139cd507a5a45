"""One answer while it is generated: turns logits into tokens and events until it ends.

It does not run the model: its caller feeds the drawn tokens to the model and passes logits in.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.decoding.thoughts import Thoughts
from lepton_cli.engine.events import (
    Done,
    Event,
    FinishReason,
    Reasoning,
    Stats,
    Text,
    TokenLogprobs,
)
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.sampling.banned_texts import Bans
from lepton_cli.engine.sampling.logprobs import token_logprobs
from lepton_cli.engine.sampling.sampler import Sampler, unusable_logits
from lepton_cli.engine.text.streaming import (
    ReasoningFormat,
    ReasoningSplitter,
    StopMatcher,
    Utf8Stream,
    begins_in_thought,
    reasoning_token_ids,
)
from lepton_cli.engine.text.tokenizer import Tokenizer
from ops.drawing import DrawPlan
from ops.logits import RowLogits
from quant.errors import ConstraintError, ModelFileError

if TYPE_CHECKING:
    from lepton_cli.engine.constraints.guide import Guide  # llguidance: only for constraints


class Answer:
    """`drawn` are the tokens so far; `reason` says why the answer ended, None while it goes on."""

    def __init__(
        self,
        prompt: Sequence[int],
        tokenizer: Tokenizer,
        sampler: Sampler,
        generation: Generation,
        reasoning: ReasoningFormat | None,
        guide: "Guide | None" = None,
        *,
        begins_text: bool = False,
    ) -> None:
        """`reasoning`: how the model marks its reasoning, for splitting it from the answer.

        `guide` restricts the tokens to those that the constraint allows. An answer that
        `begins_text` is shown without the space before its first word.
        """
        self._begins_text = begins_text and guide is None
        self.drawn: list[int] = []
        self.reason: FinishReason | None = None
        self.stop_string: str | None = None
        self._tokenizer, self._sampler, self._generation = tokenizer, sampler, generation
        self.logprobs: list[TokenLogprobs] = []  # of the drawn tokens, if requested
        self._bans = Bans.of(generation.ban)
        self._guide, self._texts = guide, list[str]()
        self._characters, self._stops = Utf8Stream(), StopMatcher(generation.stop)
        self._splitter: ReasoningSplitter | None = None
        self._thoughts: Thoughts | None = None
        self._rendered: frozenset[int] = frozenset()
        if generation.split_reasoning:
            self._thoughts = Thoughts(tokenizer, reasoning, prompt, generation)
            self._rendered, begun = self._thoughts.rendered, self._thoughts.begun
            self._splitter = ReasoningSplitter(reasoning, in_thought=begun)
        for token in prompt:
            sampler.accept(token)
        if generation.max_tokens is not None and generation.max_tokens <= 0:
            self.reason = "length"

    @property
    def seed(self) -> int:
        """The seed in use, even if none was given."""
        return self._sampler.seed

    @property
    def tokens_left(self) -> float:
        """How many tokens may still be drawn."""
        most = self._generation.max_tokens
        return math.inf if most is None else most - len(self.drawn)

    def draw(self, logits: RowLogits) -> list[Event]:  # (V,)
        """Draws the next token. Unless `reason` is set, feed `drawn[-1]` to the model next.

        Where the budget of the reasoning is spent, the tokens that close it come instead.
        """
        forced = self._thoughts.forced if self._thoughts else None
        return self._take(self._draw_allowed(logits) if forced is None else forced, logits)

    def propose(self, logits: RowLogits) -> int:  # (V,)
        """A token by these logits, which is not drawn yet: `take` takes it in its turn."""
        return self._sampler.sample(logits)

    def plan(self, vocabulary: int) -> DrawPlan | None:
        """How a backend may draw the next tokens by itself; None if it may not."""
        if self._bans or self._guide or self._generation.logprobs is not None:
            return None
        if self._thoughts and self._thoughts.bounded:
            return None
        return self._sampler.plan(vocabulary)

    def random_numbers(self, count: int) -> list[float]:
        """The random numbers of the next draws, for a backend that draws by `plan`."""
        return self._sampler.random_numbers(count)

    def take(self, token: int) -> list[Event]:
        """Takes a token that a backend drew by `plan`. Raises ModelFileError for -1."""
        if token < 0:
            raise unusable_logits()
        return self._take(token, None)

    def _take(self, token: int, logits: RowLogits | None) -> list[Event]:
        if token in self._tokenizer.end_of_generation and not self._generation.ignore_eos:
            self.reason = "stop"
            return []
        self._sampler.accept(token)
        self.drawn.append(token)
        if self._thoughts:
            self._thoughts.accept(token)
        if self._bans:  # a forced token may complete a banned text
            after = self._bans.after(self._tokenizer.token_bytes(token))
            self._bans = after or Bans.of(self._generation.ban)
        if self._generation.logprobs is not None and logits is not None:
            self.logprobs.append(
                token_logprobs(np.asarray(logits), token, self._generation.logprobs)
            )
        data = self._tokenizer.token_bytes(token, render_special=token in self._rendered)
        if self._begins_text and len(self.drawn) == 1:
            data = data.removeprefix(b" ")
        text, self.stop_string = self._stops.feed(self._characters.feed(data))
        if self._guide:
            self._guide.accept(token)
        if self.stop_string is not None or (self._guide and self._guide.ended):
            self.reason = "stop"
        elif len(self.drawn) == self._generation.max_tokens:
            self.reason = "length"
        return self._show(text)

    def _draw_allowed(self, logits: RowLogits) -> int:
        """Draws a token, again and again if bans or the constraint refuse it."""
        token = self._sampler.sample(logits)
        if not self._refuses(token):
            return token
        remaining = np.array(logits)
        while self._refuses(token):
            remaining[token] = -np.inf
            try:
                token = self._sampler.sample(remaining)
            except ModelFileError as error:  # none is left
                message = "no token is allowed: bans and biases exclude all of them"
                raise ConstraintError(message, "remove a --ban or --logit-bias") from error
        return token

    def _refuses(self, token: int) -> bool:
        """Whether a token completes a banned text, or makes a valid answer impossible."""
        if token in self._tokenizer.end_of_generation:
            return False
        bans = self._bans and self._bans.after(self._tokenizer.token_bytes(token))
        if self._bans and bans is None:
            return True
        return self._guide is not None and not self._guide.leads_on(token, bans)

    def finish(self) -> Iterator[Event]:
        """Yields the text that was held back, after the answer has ended."""
        if self.stop_string is None:
            yield from self._show(self._stops.feed(self._characters.flush())[0])
            yield from self._show(self._stops.flush())
        yield from self._collect(self._splitter.flush() if self._splitter else ())

    @property
    def unmet(self) -> ConstraintError | None:
        """Why a finished answer does not meet its constraint or has no text; otherwise None."""
        if self.reason == "interrupted":
            return None
        text, count = "".join(self._texts), counted(len(self.drawn), "token")
        if self._guide is None:
            thought = self._splitter is not None and self._splitter.has_thought
            return no_answer(text, self.reason, len(self.drawn)) if thought else None
        grammar = self._guide.grammar
        problem = self._guide.problem_with(text)
        if problem is None:
            return None
        unmet = f"before it satisfied the {grammar.name}"
        if self.stop_string is not None:
            cut = f"the stop string {self.stop_string!r} cut the answer {unmet}"
            return ConstraintError(cut, "remove that stop string")
        if self.reason == "length":
            return ConstraintError(f"the answer was cut at {count}, {unmet}", "raise -n")
        if self.reason == "context":
            return ConstraintError(f"the context was full after {count}, {unmet}", "raise -c")
        return ConstraintError(f"the answer does not satisfy the {grammar.name}: {problem}")

    def done(self, stats: Stats) -> Done:
        """The last event, after the answer has ended and `finish` has yielded the rest."""
        if self._thoughts:
            stats = replace(stats, reasoning_tokens=self._thoughts.count)
        assert self.reason is not None, "the answer has not ended"
        drawn, logprobs = tuple(self.drawn), tuple(self.logprobs)
        return Done(self.reason, self.stop_string, drawn, stats, self.unmet, logprobs)

    def _show(self, text: str) -> list[Event]:
        if not text:
            return []
        return self._collect(self._splitter.feed(text) if self._splitter else [Text(text)])

    def _collect(self, events: Iterable[Text | Reasoning]) -> list[Event]:
        collected = list[Event](events)
        self._texts += [event.text for event in collected if isinstance(event, Text)]
        return collected


def no_answer(text: str, reason: FinishReason | None, tokens: int) -> ConstraintError | None:
    """The error for an answer that consists only of reasoning; None if it has other text."""
    if text.strip() or (reason == "length" and not tokens):  # -n 0 asks for nothing
        return None
    count, unmet = counted(tokens, "token"), "within the model's reasoning: there is no answer"
    if reason == "length":
        cure = "raise -n, or give --reasoning-budget fewer tokens than -n"
        return ConstraintError(f"the answer was cut at {count}, {unmet}", cure)
    if reason == "context":
        cure = "raise -c, or give --reasoning-budget"
        return ConstraintError(f"the context was full after {count}, {unmet}", cure)
    return ConstraintError(f"the answer ended after {count}, {unmet}", "try --no-think")


def split_reasoning(
    ids: Sequence[int],
    prompt: Sequence[int],
    tokenizer: Tokenizer,
    generation: Generation,
    reasoning: ReasoningFormat | None,
    *,
    begins_text: bool = False,
) -> tuple[str, str, bool]:
    """The text and the reasoning of a finished answer's tokens, up to a stop string.

    The third value says whether the answer contains reasoning at all. See Answer for `begins_text`.
    """
    split = generation.split_reasoning
    rendered = reasoning_token_ids(tokenizer, reasoning) if split else frozenset()
    data = b"".join(tokenizer.token_bytes(token, render_special=token in rendered) for token in ids)
    data = data.removeprefix(b" ") if begins_text else data
    stops = StopMatcher(generation.stop)
    text, stop = stops.feed(data.decode(errors="replace"))
    text += "" if stop else stops.flush()
    if not split:
        return text, "", False
    thinking = begins_in_thought(tokenizer, reasoning, prompt)
    splitter = ReasoningSplitter(reasoning, in_thought=thinking)
    events = [*splitter.feed(text), *splitter.flush()]
    parts = (
        "".join(event.text for event in events if isinstance(event, kind))
        for kind in (Text, Reasoning)
    )
    answer, thought = parts
    return answer, thought, splitter.has_thought
