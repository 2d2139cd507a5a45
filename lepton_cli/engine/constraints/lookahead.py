"""Look-ahead: whether an answer can still be completed under rules outside its grammar.

Banned texts and duplicate keys forbid what the grammar may later require: after `tr` only `true` is
possible. So continuations are searched before a token is taken: byte by byte, which is fast, if the
vocabulary has every byte; otherwise by tokens.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol, Self

import numpy as np
from llguidance import LLMatcher, LLTokenizer

MAX_STEPS = 1000  # of a search; then a continuation counts as possible
FIRST = b'"}]),:'  # bytes that tend to close something are tried first


class TextRule(Protocol):
    """A rule on texts, in its state after the text so far."""

    @property
    def settled(self) -> bool:
        """Whether it forbids nothing that the grammar may require at this point."""

    def after(self, data: bytes) -> Self | None:
        """The state after more text; None if the text is forbidden."""

    def is_idle(self, data: bytes) -> bool:
        """Whether the text has no influence on what may follow."""


class SearchSteps:
    """The steps of a search: bytes, or tokens except those in `without`."""

    def __init__(
        self, vocabulary: LLTokenizer, said: Sequence[bytes], without: Collection[int] = ()
    ) -> None:
        self.vocabulary, self.said = vocabulary, said
        steps = sorted(set(range(len(said))) - set(without), key=lambda step: _rank(said[step]))
        self.order = np.array(steps, np.intp)  # the order in which steps are tried

    @classmethod
    def of_bytes(cls) -> "SearchSteps":
        return cls(LLTokenizer("byte", slices=[]), [bytes([byte]) for byte in range(256)])

    def begin(self, engine: str, *, to_the_end: bool) -> "Lookahead":
        """A look-ahead at the beginning of a text of a valid grammar."""
        matcher = LLMatcher(self.vocabulary, engine, log_level=0)
        return Lookahead(self, matcher, to_the_end=to_the_end)


def _rank(data: bytes) -> tuple[int, bytes]:
    first = data[:1]
    if first in FIRST and first:
        return FIRST.index(first), data
    return (len(FIRST) if b" " < first < b"\x7f" else len(FIRST) + 1), data


class Lookahead:
    """Follows one text in its grammar."""

    def __init__(self, alphabet: SearchSteps, matcher: LLMatcher, *, to_the_end: bool) -> None:
        """`to_the_end`: search for a complete text; otherwise until all rules are settled."""
        self._alphabet, self._matcher, self._to_the_end = alphabet, matcher, to_the_end
        self._known: list[int] = []  # steps of the last successful search

    def copy(self) -> "Lookahead":
        found = Lookahead(self._alphabet, self._matcher.deep_copy(), to_the_end=self._to_the_end)
        found._known = self._known
        return found

    def accept(self, steps: Sequence[int]) -> bool:
        """Takes steps; False if the grammar does not allow them."""
        if self._known[: len(steps)] == list(steps):
            self._known = self._known[len(steps) :]
        return self._matcher.try_consume_tokens(list(steps)) == len(steps)

    def possible(self, rules: Sequence[TextRule]) -> bool:
        """Whether a complete text may follow; False is certain.

        The last successful steps are tried first: inside a string or number they often still work.
        """
        return self._leads_on(rules) or self._search(rules)

    def _leads_on(self, rules: Sequence[TextRule]) -> bool:
        """Whether the known steps still work."""
        following = self._matcher.deep_copy()
        if following.try_consume_tokens(self._known) < len(self._known):
            return False
        known = _after(rules, b"".join(self._alphabet.said[step] for step in self._known))
        return known is not None and self._is_goal(following, known)

    def _search(self, rules: Sequence[TextRule]) -> bool:
        taken: list[int] = []
        ways = [self._ways(self._matcher, rules)]
        for _ in range(MAX_STEPS):
            way = next(ways[-1], None)
            if way is None:
                ways.pop()
                if not ways:
                    return False
                taken.pop()
                continue
            step, matcher, known = way
            taken.append(step)
            if self._is_goal(matcher, known):
                self._known = taken
                return True
            ways.append(self._ways(matcher, known))
        return True

    def _is_goal(self, matcher: LLMatcher, rules: Sequence[TextRule]) -> bool:
        settled = not self._to_the_end and all(rule.settled for rule in rules)
        return settled or matcher.is_accepting()

    def _ways(
        self, matcher: LLMatcher, rules: Sequence[TextRule]
    ) -> Iterator[tuple[int, LLMatcher, Sequence[TextRule]]]:
        words = np.frombuffer(matcher.compute_bitmask(), np.uint8)
        order = self._alphabet.order
        allowed = np.unpackbits(words, bitorder="little").view(np.bool_)
        for step in order[allowed[order]].tolist():
            data = self._alphabet.said[step]
            known = None if any(rule.is_idle(data) for rule in rules) else _after(rules, data)
            if known is not None:
                ahead = matcher.deep_copy()
                ahead.try_consume_tokens([step])
                yield step, ahead, known


def _after(rules: Sequence[TextRule], data: bytes) -> Sequence[TextRule] | None:
    """The rules after more text; None if one forbids it."""
    following = [rule.after(data) for rule in rules]
    known = [rule for rule in following if rule is not None]
    return known if len(known) == len(following) else None
