"""Whether an answer that has begun can still become whole, under rules that no grammar tells.

Banned texts and keys of a map that came before forbid what the grammar may come to demand: after
`tr` there is but `true`. So the ways on are tried before a token is taken. They are tried byte by
byte, which is fast, where a vocabulary spells every byte; else by its own tokens.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol, Self

import numpy as np
from llguidance import LLMatcher, LLTokenizer

MOST_STEPS = 1000  # of a search; what it has not refuted by then counts as possible
FIRST = b'"}]),:'  # bytes that tend to end something, and are tried before others


class Rule(Protocol):
    """What may be said after all that was said."""

    @property
    def settled(self) -> bool:
        """Whether it forbids nothing that the grammar may demand, until more is said."""

    def after(self, data: bytes) -> Self | None:
        """Once that was said too; None: it may not be said."""

    def is_idle(self, data: bytes) -> bool:
        """Whether nothing follows that that could not follow without it."""


class Alphabet:
    """The steps of a search: bytes, or tokens `without` some."""

    def __init__(
        self, vocabulary: LLTokenizer, said: Sequence[bytes], without: Collection[int] = ()
    ) -> None:
        self.vocabulary, self.said = vocabulary, said
        steps = sorted(set(range(len(said))) - set(without), key=lambda step: _rank(said[step]))
        self.order = np.array(steps, np.intp)  # in which they are tried

    @classmethod
    def of_bytes(cls) -> "Alphabet":
        return cls(LLTokenizer("byte", slices=[]), [bytes([byte]) for byte in range(256)])

    def begin(self, engine: str, *, to_the_end: bool) -> "Lookahead":
        """At the beginning of a text of a grammar that the engine has taken before."""
        matcher = LLMatcher(self.vocabulary, engine, log_level=0)
        return Lookahead(self, matcher, to_the_end=to_the_end)


def _rank(data: bytes) -> tuple[int, bytes]:
    first = data[:1]
    if first in FIRST and first:
        return FIRST.index(first), data
    return (len(FIRST) if b" " < first < b"\x7f" else len(FIRST) + 1), data


class Lookahead:
    """Follows one text along its grammar."""

    def __init__(self, alphabet: Alphabet, matcher: LLMatcher, *, to_the_end: bool) -> None:
        """`to_the_end`: a text must be found; else it is enough that all rules are settled."""
        self._alphabet, self._matcher, self._to_the_end = alphabet, matcher, to_the_end
        self._known: list[int] = []  # steps that were found to lead on

    def copy(self) -> "Lookahead":
        found = Lookahead(self._alphabet, self._matcher.deep_copy(), to_the_end=self._to_the_end)
        found._known = self._known
        return found

    def accept(self, steps: Sequence[int]) -> bool:
        """Goes on; False where the grammar does not allow it."""
        if self._known[: len(steps)] == list(steps):
            self._known = self._known[len(steps) :]
        return self._matcher.try_consume_tokens(list(steps)) == len(steps)

    def possible(self, rules: Sequence[Rule]) -> bool:
        """Whether a whole text may follow; False is certain.

        What led on before often still does, within a text or a number: that is tried first.
        """
        return self._leads_on(rules) or self._search(rules)

    def _leads_on(self, rules: Sequence[Rule]) -> bool:
        """Whether the known steps do."""
        following = self._matcher.deep_copy()
        if following.try_consume_tokens(self._known) < len(self._known):
            return False
        known = _after(rules, b"".join(self._alphabet.said[step] for step in self._known))
        return known is not None and self._is_goal(following, known)

    def _search(self, rules: Sequence[Rule]) -> bool:
        taken: list[int] = []
        ways = [self._ways(self._matcher, rules)]
        for _ in range(MOST_STEPS):
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

    def _is_goal(self, matcher: LLMatcher, rules: Sequence[Rule]) -> bool:
        settled = not self._to_the_end and all(rule.settled for rule in rules)
        return settled or matcher.is_accepting()

    def _ways(
        self, matcher: LLMatcher, rules: Sequence[Rule]
    ) -> Iterator[tuple[int, LLMatcher, Sequence[Rule]]]:
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


def _after(rules: Sequence[Rule], data: bytes) -> Sequence[Rule] | None:
    """The rules once that was said; None where one forbids it."""
    following = [rule.after(data) for rule in rules]
    known = [rule for rule in following if rule is not None]
    return known if len(known) == len(following) else None
