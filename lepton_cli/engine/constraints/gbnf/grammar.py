"""Parses GBNF, llama.cpp's grammars, into a tree of characters, rules and repetitions."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from quant.errors import UsageError

LAST = 0x10FFFF
SURROGATES = (0xD800, 0xDFFF)
NAME = re.compile(r"[a-zA-Z0-9_-]+")
BLANK = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
BLANK_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
ESCAPED = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([\\\"\[\]nrt-])")
LETTERS = {"n": "\n", "r": "\r", "t": "\t"}
COUNTS = re.compile(r"\{\s*(\d{1,9})\s*(?:(,)\s*(\d{1,9})?\s*)?\}")
SIGNS: Mapping[str, tuple[int, int | None]] = MappingProxyType(
    {"*": (0, None), "+": (1, None), "?": (0, 1)}
)
MAX_REPEATS, MAX_DEPTH = 2000, 200
MAX_RULE_DEPTH = 400  # nesting across rules; the engine overflows its stack at about 2500

Ranges = tuple[tuple[int, int], ...]
"""Ranges of code points (first, last), sorted, without overlaps."""


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of a set."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Sequence:
    parts: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Choice:
    parts: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Repeat:
    part: "Node"
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class RuleReference:
    name: str


Node = Chars | Sequence | Choice | Repeat | RuleReference
Rules = Mapping[str, Node]


def read_gbnf(text: str) -> dict[str, Node]:
    """The rules by name; a text begins at `root`. Raises UsageError with line and column."""
    rules = dict(_Reader(text).rules())
    if "root" not in rules:
        raise UsageError("the grammar has no rule root", "define the first one as: root ::= ...")
    for name, node in rules.items():
        for other in rules_of(node):
            if other not in rules:
                message = f"the grammar's rule {name!r} uses {other!r}, which is not defined"
                raise UsageError(message, f"define it: {other} ::= ...")
    ordered = _ordered(rules)
    _check_depth(ordered)
    _check_finite(ordered)
    return ordered


def _ordered(rules: Rules) -> dict[str, Node]:
    """The rules in dependency order (each after those that it uses), except for cycles.

    So fixed-point iterations over them converge in a few rounds.
    """
    ordered: dict[str, Node] = {}
    seen = set[str]()
    for first in ("root", *rules):
        path = [] if first in seen else [(first, rules_of(rules[first]))]
        seen.add(first)
        while path:
            name, mentioned = path[-1]
            other = next((each for each in mentioned if each not in seen), None)
            if other is None:
                ordered[name] = rules[name]
                path.pop()
            else:
                seen.add(other)
                path.append((other, rules_of(rules[other])))
    return ordered


def _check_depth(ordered: Rules) -> None:
    """Refuses deeply nested rules, since several functions process them recursively."""
    heights: dict[str, int] = {}
    for name, node in ordered.items():
        heights[name] = 1 + _height(node, heights)
        if heights[name] > MAX_RULE_DEPTH:
            message = f"the grammar's rule {name!r} is nested more than {MAX_RULE_DEPTH} deep"
            raise UsageError(message, "write chains of rules as repetitions: rule ::= part+")


def _height(node: Node, heights: Mapping[str, int]) -> int:
    match node:
        case Chars():
            return 0
        case RuleReference(name):
            return heights.get(name, 0)
        case Repeat(part):
            return 1 + _height(part, heights)
    return 1 + max((_height(part, heights) for part in node.parts), default=0)


def _check_finite(rules: Rules) -> None:
    """Refuses rules that only an infinite text could match."""
    ended, grown = set[str](), True
    while grown:
        before = len(ended)
        for name, node in rules.items():
            if name not in ended and _ends(node, ended):
                ended.add(name)
        grown = len(ended) > before
    for name in rules:
        if name not in ended:
            message = f"the grammar's rule {name!r} always contains itself"
            raise UsageError(message, "give it an alternative without itself")


def _ends(node: Node, ended: Collection[str]) -> bool:
    """Whether a finite text matches the node if only the rules in `ended` have one."""
    match node:
        case Chars():
            return True
        case RuleReference(name):
            return name in ended
        case Choice(parts):
            return any(_ends(part, ended) for part in parts)
        case Repeat(part, least):
            return least == 0 or _ends(part, ended)
    return all(_ends(part, ended) for part in node.parts)


def rules_of(node: Node) -> Iterator[str]:
    """The names of the rules that a node uses."""
    match node:
        case RuleReference(name):
            yield name
        case Sequence(parts) | Choice(parts):
            for part in parts:
                yield from rules_of(part)
        case Repeat(part):
            yield from rules_of(part)


def normalized(ranges: list[tuple[int, int]]) -> Ranges:
    """Sorted ranges; adjacent ones are joined."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(high, joined[-1][1])
        else:
            joined.append((low, high))
    return tuple(joined)


def inverted(ranges: Ranges) -> Ranges:
    """The ranges of all other characters, without surrogates."""
    outside, start = [], 0
    for low, high in normalized([*ranges, SURROGATES]):
        if low > start:
            outside.append((start, low - 1))
        start = high + 1
    return (*outside, (start, LAST)) if start <= LAST else tuple(outside)


class _Reader:
    """A recursive-descent parser; errors have a line and a column."""

    def __init__(self, text: str) -> None:
        self._text, self._at, self._depth = text, 0, 0

    def rules(self) -> Iterator[tuple[str, Node]]:
        names = set()
        self._skip(BLANK_LINES)
        while self._at < len(self._text):
            name = self._name()
            if name in names:
                raise self._wrong(f"the rule {name!r} is defined twice")
            names.add(name)
            self._skip(BLANK)
            if not self._taken("::="):
                raise self._wrong("::= is missing")
            self._skip(BLANK_LINES)
            yield name, self._choice(nested=False)
            if self._at < len(self._text) and self._text[self._at] not in "\r\n":
                raise self._wrong(f"{self._text[self._at]!r} is not expected here")
            self._skip(BLANK_LINES)

    def _choice(self, *, nested: bool) -> Node:
        parts = [self._sequence(nested=nested)]
        while self._taken("|"):
            self._skip(BLANK_LINES)
            parts.append(self._sequence(nested=nested))
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self, *, nested: bool) -> Node:
        blank = BLANK_LINES if nested else BLANK
        parts: list[Node] = []
        self._skip(blank)
        while (part := self._atom()) is not None:
            self._skip(blank)
            parts.append(self._repeated(part, blank))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _atom(self) -> Node | None:
        if self._taken('"'):
            return self._literal()
        if self._taken("["):
            return self._set()
        if self._taken("("):
            return self._group()
        if self._taken("."):
            return Chars(inverted(()))
        if NAME.match(self._text, self._at):
            return RuleReference(self._name())
        if self._text.startswith(("<", "!<"), self._at):
            raise self._wrong("tokens like <think> are not supported: an answer is text only")
        return None

    def _group(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._wrong(f"more than {MAX_DEPTH} nested brackets")
        self._skip(BLANK_LINES)
        inner = self._choice(nested=True)
        if not self._taken(")"):
            raise self._wrong("a ) is missing")
        self._depth -= 1
        return inner

    def _repeated(self, part: Node, blank: re.Pattern[str]) -> Node:
        signs = 0
        while (counts := self._counts()) is not None:
            part, signs = Repeat(part, *counts), signs + 1
            if signs > MAX_DEPTH:
                raise self._wrong(f"more than {MAX_DEPTH} nested repetitions")
            self._skip(blank)
        return part

    def _counts(self) -> tuple[int, int | None] | None:
        for sign, counts in SIGNS.items():
            if self._taken(sign):
                return counts
        if not self._text.startswith("{", self._at):
            return None
        found = COUNTS.match(self._text, self._at)
        least = int(found[1]) if found else 0
        most = least if found and not found[2] else int(found[3]) if found and found[3] else None
        if not found or max(least, most or 0) > MAX_REPEATS or (most is not None and most < least):
            raise self._wrong(f"a count is like {{3}}, {{3,}} or {{3,5}}, up to {MAX_REPEATS}")
        self._at = found.end()
        return least, most

    def _literal(self) -> Node:
        parts: list[Node] = []
        while not self._taken('"'):
            code = self._character()
            parts.append(Chars(((code, code),)))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _set(self) -> Chars:
        negated, ranges = self._taken("^"), []
        while not self._taken("]"):
            low = self._character()
            high = low
            if (
                self._text.startswith("-", self._at)
                and self._text[self._at + 1 : self._at + 2] != "]"
            ):
                self._at += 1
                high = self._character()
            if high < low:
                raise self._wrong(f"the range from {chr(low)!r} to {chr(high)!r} is empty")
            ranges.append((low, high))
        left_out = normalized(ranges) if negated else inverted(normalized(ranges))
        chosen = inverted(left_out)
        if not chosen:
            raise self._wrong("the preceding set is empty")
        return Chars(chosen)

    def _character(self) -> int:
        if self._at >= len(self._text):
            raise self._wrong("the grammar ends inside a string or a set")
        if not self._taken("\\"):
            self._at += 1
            return ord(self._text[self._at - 1])
        found = ESCAPED.match(self._text, self._at)
        if not found:
            raise self._wrong(f"\\{self._text[self._at : self._at + 1]} is not an escape")
        self._at = found.end()
        code = next((int(digits, 16) for digits in found.groups()[:3] if digits), None)
        if code is None:
            return ord(LETTERS.get(found[4], found[4]))
        if code > LAST or SURROGATES[0] <= code <= SURROGATES[1]:
            raise self._wrong(f"there is no code point {found[0][1:]}")
        return code

    def _name(self) -> str:
        found = NAME.match(self._text, self._at)
        if not found:
            raise self._wrong("a rule's name is missing: letters, digits and -")
        self._at = found.end()
        return found[0]

    def _taken(self, sign: str) -> bool:
        there = self._text.startswith(sign, self._at)
        self._at += len(sign) * there
        return there

    def _skip(self, blank: re.Pattern[str]) -> None:
        found = blank.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _wrong(self, why: str) -> UsageError:
        before = self._text[: self._at]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        return UsageError(f"the grammar is wrong in line {line}, column {column}: {why}")
