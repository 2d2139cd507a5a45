"""Restricts the tokens of a constrained answer; reasoning before it is unrestricted.

Reasoning and its tags can occur only before the answer's first character. So there both the
answer's first tokens and the exact tokens of a tag are allowed.
"""

from collections.abc import Collection, Sequence
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lepton_cli.engine.constraints.constraint import Constraint
from lepton_cli.engine.constraints.grammars import Grammar, prepare
from lepton_cli.engine.constraints.lookahead import TextRule
from lepton_cli.engine.constraints.map_keys import MapKeys
from lepton_cli.engine.constraints.masks import CACHED_GRAMMARS, Masks
from lepton_cli.engine.sampling.banned_texts import Bans
from lepton_cli.engine.text.streaming import (
    THINK,
    ReasoningFormat,
    Utf8Stream,
    begins_in_thought,
    reasoning_token_ids,
)
from lepton_cli.engine.text.tokenizer import Tokenizer

LINE_BREAKS = 2  # between reasoning and answer, as ReasoningFormat.closing writes them
Phase = Literal["before", "thought", "answer"]


class Guide:
    """Follows one answer token by token; `grammar` is its constraint."""

    def __init__(
        self,
        masks: Masks,
        grammar: Grammar,
        tokenizer: Tokenizer,
        *,
        thoughts: "ReasoningTags | None" = None,
        never: frozenset[int] = frozenset(),
    ) -> None:
        """Without `thoughts` every token belongs to the answer; tokens in `never` are excluded."""
        self.grammar, self._never = grammar, never
        self._spells_all = not never or masks.spells_all(never)
        self._masks, self._tokenizer = masks, tokenizer
        self._thoughts = thoughts
        self._begin_answer()
        self._place: Phase = "answer"
        if thoughts:
            self._place = "thought" if thoughts.begun else "before"
        self._tag: list[int] = []  # tokens so far that may be part of a tag
        self._breaks_left = 0  # how many line breaks may still follow the end of reasoning

    @property
    def ended(self) -> bool:
        """Whether the answer is complete and nothing can follow."""
        return self._place != "thought" and self._strict and self._matcher.ended

    def problem_with(self, text: str) -> str | None:
        """Why the answer, which has this text, does not satisfy the constraint, or None."""
        if not self.grammar.has_tokens:
            return self.grammar.problem_with(text)
        complete = self._place != "thought" and self._strict and self._matcher.complete
        return None if complete else "it is cut short"

    def allowed(self) -> NDArray[np.bool_] | None:  # (V,)
        """A mask of the tokens that may come next; None: all. Raises ConstraintError."""
        if self._place == "thought":
            return None
        if self._strict:
            allowed = self._matcher.allowed()
        else:
            allowed = np.zeros(self._tokenizer.vocab_size, np.bool_)
        if self._place == "before" and self._thoughts:
            for tag in self._thoughts.continued(self._tag):
                allowed[tag[len(self._tag)]] = True
            if not self._tag:
                breaks = [each for each in self._masks.line_breaks if self._is_break(each)]
                allowed[breaks] = True
        return allowed

    def leads_on(self, token: int, bans: Bans | None) -> bool:
        """Whether the answer can still be completed after an allowed token.

        `bans` is the state of the banned texts after the token.
        """
        if self._place == "thought" or not self._strict or self._may_be_tag(token):
            return True
        rules: list[TextRule] = [bans] if bans and self.grammar.is_watched else []
        if self._keys:
            keys = self._keys.after(self._tokenizer.token_bytes(token))
            if keys is None:
                return False
            rules.append(keys)
        if self._spells_all and all(rule.settled for rule in rules):
            return True
        return self._ahead is None or self._ahead.possible(token, rules)

    def accept(self, token: int) -> None:
        """Takes a token that was drawn."""
        if self._place == "answer" or self._thoughts is None:
            self._take_answer(token)
        elif self._place == "thought":
            self._think(self._thoughts, token)
        else:
            self._begin(self._thoughts, token)

    def _think(self, thoughts: "ReasoningTags", token: int) -> None:
        """Takes a token of the reasoning; text after its end in the token begins the answer."""
        rest = thoughts.end_of_thought(token)
        if rest is None:
            return
        self._enter("before", after_thought=True)
        for first in self._masks.ids(rest):
            self._begin(thoughts, first)

    def _begin(self, thoughts: "ReasoningTags", token: int) -> None:
        if not self._tag and self._is_break(token):
            self._breaks_left -= len(self._tokenizer.token_bytes(token))
            return
        self._tag.append(token)
        if self._strict:
            self._take_answer(token)
        tags = thoughts.continued(self._tag, whole=True)
        if not tags:
            self._place = "answer"
        elif tuple(self._tag) in tags:
            self._enter(thoughts.tags[tuple(self._tag)])

    def _enter(self, place: Phase, *, after_thought: bool = False) -> None:
        self._place, self._tag = place, []
        self._breaks_left = LINE_BREAKS if after_thought else 0
        self._begin_answer()

    def _may_be_tag(self, token: int) -> bool:
        """Whether a token may be part of a tag, or the line break after reasoning."""
        if self._place != "before" or self._thoughts is None:
            return False
        breaks = not self._tag and self._is_break(token)
        return breaks or bool(self._thoughts.continued([*self._tag, token], whole=True))

    def _is_break(self, token: int) -> bool:
        """Whether a token consists of line breaks that may follow reasoning."""
        length = len(self._tokenizer.token_bytes(token))
        return token in self._masks.line_breaks and length <= self._breaks_left

    def _begin_answer(self) -> None:
        self._matcher, self._strict = self._masks.matcher(self.grammar), True
        watched = self.grammar.has_maps or self.grammar.is_watched or not self._spells_all
        watched = watched and not self.grammar.has_tokens  # look-ahead knows only texts
        self._keys: MapKeys | None = None
        if watched and self.grammar.document:
            self._keys = MapKeys(spaced=self.grammar.is_watched)
        self._ahead = self._masks.lookahead(self.grammar, self._never) if watched else None

    def _take_answer(self, token: int) -> None:
        """Takes a token of the answer; if the grammar refuses it, it belonged to a tag."""
        self._strict = self._matcher.accept(token)
        if self._strict and self._keys:
            self._keys = self._keys.after(self._tokenizer.token_bytes(token))
        if self._strict and self._ahead:
            self._ahead.accept(token)


class ReasoningTags:
    """A model's reasoning tags as tokens, and the text that ends its reasoning."""

    def __init__(
        self, tokenizer: Tokenizer, reasoning: ReasoningFormat | None, prompt: Sequence[int]
    ) -> None:
        """A model without a format may use `<think>` if that is a single token."""
        self.begun = begins_in_thought(tokenizer, reasoning, prompt)
        self.tags: dict[tuple[int, ...], Phase] = {}
        self._tokenizer, self._format = tokenizer, reasoning or THINK
        self._shown = reasoning_token_ids(tokenizer, reasoning)
        self._characters, self._text = Utf8Stream(), ""
        places: tuple[tuple[Phase, tuple[str, ...]], ...] = (
            ("thought", self._format.thought),
            ("answer", self._format.answer),
            ("before", self._format.between),
        )
        for place, tags in places:
            for tag in tags:
                ids = tuple(tokenizer.encode(tag, add_special=False, parse_special=True))
                if reasoning or len(ids) == 1:
                    self.tags[ids] = place

    def continued(self, begun: list[int], *, whole: bool = False) -> list[tuple[int, ...]]:
        """The tags with this prefix; with `whole`, also a tag equal to it."""
        size = len(begun)
        return [
            tag
            for tag in self.tags
            if tag[:size] == tuple(begun) and (whole or len(tag) > size) and len(tag) >= size
        ]

    def end_of_thought(self, token: int) -> str | None:
        """The text of a token after the end of reasoning; None if reasoning continues."""
        data = self._tokenizer.token_bytes(token, render_special=token in self._shown)
        self._text += self._characters.feed(data)
        for end in self._format.thought_end:
            _, found, rest = self._text.partition(end)
            if found:
                self._text = ""
                return rest.lstrip("\n")
        longest = max(map(len, self._format.thought_end))
        self._text = self._text[-longest:]
        return None


class Guides:
    """Creates the guides for one model's answers; caches grammars and the vocabulary."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._prepared = lru_cache(CACHED_GRAMMARS)(prepare)

    def guide(
        self,
        constraint: Constraint,
        prompt: Sequence[int],
        reasoning: ReasoningFormat | None,
        *,
        thinks: bool,
        bans: Sequence[str] = (),
        never: Collection[int] = (),
    ) -> Guide:
        """A guide. Raises UsageError for a constraint that is invalid or entirely banned.

        Tokens in `never` are excluded. Without `thinks` there is no reasoning.
        """
        grammar = self._prepared(constraint, tuple(bans))
        thoughts = ReasoningTags(self._tokenizer, reasoning, prompt) if thinks else None
        return Guide(
            self._masks, grammar, self._tokenizer, thoughts=thoughts, never=frozenset(never)
        )

    @cached_property
    def _masks(self) -> Masks:
        return Masks(self._tokenizer)
