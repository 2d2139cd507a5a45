"""Finds the repetitions of a GBNF grammar that may be matched greedily as one terminal.

The engine matches terminals greedily, but a grammar of characters allows every parse of a text. So
a repetition is one terminal only if no other parse of the text so far could take a character that
continues it. This is shown with an automaton of the whole grammar that ignores where a rule was
called from: it accepts at least the grammar's texts, so no conflict is missed.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from lepton_cli.engine.constraints.gbnf.grammar import (
    Chars,
    Choice,
    Node,
    Ranges,
    Repeat,
    RuleReference,
    Rules,
    rules_of,
)

# beyond these limits, every terminal is one character
MAX_STATES = 300_000  # in all reachable sets of states
MAX_PARTS = 100_000  # states of expanded runs, which may double with each nesting
MAX_STEPS = 10_000_000  # transitions

RunState = tuple[int, int]
"""A state, and the run whose characters led there (0: none, or the run has not begun)."""


def recursive_rules(rules: Rules) -> frozenset[str]:
    """The rules that use a recursive rule, at any depth."""
    mentioned = {name: set(rules_of(node)) for name, node in rules.items()}
    plain, grown = set[str](), True
    while grown:
        before = len(plain)
        for name, names in mentioned.items():
            if names <= plain:
                plain.add(name)
        grown = len(plain) > before
    return frozenset(rules.keys() - plain)


def safe_runs(rules: Rules) -> frozenset[Repeat]:
    """The largest repetitions that may be one terminal each."""
    finder, refused = _Finder(rules), set[Repeat]()
    while candidates := finder.runs(refused):
        conflicts = _conflicts(rules, candidates)
        if not conflicts:
            return frozenset(candidates)
        refused |= conflicts
    return frozenset()


class _Finder:
    """Finds non-recursive repetitions whose part is never empty."""

    def __init__(self, rules: Rules) -> None:
        self._rules, self._recursive = rules, recursive_rules(rules)
        self._known: dict[str, bool] = {}

    def runs(self, refused: Collection[Repeat]) -> list[Repeat]:
        found = dict.fromkeys(
            run for node in self._rules.values() for run in self._in(node, refused)
        )
        return list(found)

    def _in(self, node: Node, refused: Collection[Repeat]) -> Iterator[Repeat]:
        if isinstance(node, Repeat):
            plain = node not in refused and not set(rules_of(node)) & self._recursive
            if plain and node.most != 0 and not self._empty(node.part):
                yield node
            else:
                yield from self._in(node.part, refused)
        elif not isinstance(node, Chars | RuleReference):
            for part in node.parts:
                yield from self._in(part, refused)

    def _empty(self, node: Node) -> bool:
        """Whether a non-recursive node matches the empty text."""
        match node:
            case Chars():
                return False
            case RuleReference(name):
                if name not in self._known:
                    self._known[name] = self._empty(self._rules[name])
                return self._known[name]
            case Repeat(part, least):
                return least == 0 or self._empty(part)
            case Choice(parts):
                return any(map(self._empty, parts))
        return all(map(self._empty, node.parts))


# --- the automaton -----------------------------------------------------------------------------


@dataclass(slots=True)
class _Automaton:
    """A nondeterministic automaton: states by number, with empty and character transitions.

    Sets of characters are bit masks: one bit per interval between the grammar's range boundaries.
    """

    cuts: tuple[int, ...]
    silent: list[list[int]] = field(default_factory=list)
    read: list[list[tuple[int, int]]] = field(default_factory=list)
    owner: list[int] = field(default_factory=list)  # the run that contains the state, or 0

    def state(self, owner: int) -> int:
        self.silent.append([])
        self.read.append([])
        self.owner.append(owner)
        return len(self.owner) - 1

    def bits(self, ranges: Ranges) -> int:
        return sum(
            (1 << bisect_left(self.cuts, high + 1)) - (1 << bisect_left(self.cuts, low))
            for low, high in ranges
        )

    def reached(self, places: Iterable[RunState]) -> frozenset[RunState]:
        """The closure of states under empty transitions."""
        found, waiting = set(places), list(places)
        while waiting:
            state, run = waiting.pop()
            for target in self.silent[state]:
                place = target, run if self.owner[target] == run else 0
                if place not in found:
                    found.add(place)
                    waiting.append(place)
        return frozenset(found)


class _TooLargeError(Exception):
    """The automaton is too large to be worth its cost."""


class _Builder:
    """Builds the automaton of a grammar; the rules inside a run are expanded for each run."""

    def __init__(self, rules: Rules, runs: Mapping[Repeat, int]) -> None:
        self._rules, self._runs = rules, runs
        cuts = {0} | {cut for node in rules.values() for cut in _cuts(node)}
        self.automaton = _Automaton(tuple(sorted(cuts)))
        self._ends: dict[str, tuple[int, int]] = {}
        self._laid = 0
        self.start = self._rule("root")[0]

    def _rule(self, name: str) -> tuple[int, int]:
        """A rule's first and last state; built once for all uses."""
        if name not in self._ends:
            self._ends[name] = self.automaton.state(0), self.automaton.state(0)
            self._lay(self._rules[name], *self._ends[name], 0)
        return self._ends[name]

    def _lay(self, node: Node, start: int, end: int, run: int) -> None:
        auto = self.automaton
        self._laid += 1
        if self._laid > MAX_PARTS:
            raise _TooLargeError
        match node:
            case Chars(ranges):
                auto.read[start].append((auto.bits(ranges), end))
            case RuleReference(name) if run:
                self._lay(self._rules[name], start, end, run)
            case RuleReference(name):
                first, last = self._rule(name)
                auto.silent[start].append(first)
                auto.silent[last].append(end)
            case Choice(parts):
                for part in parts:
                    self._lay(part, start, end, run)
            case Repeat():
                self._lay_repeat(node, start, end, run or self._runs.get(node, 0))
            case _:
                for part in node.parts:
                    following = auto.state(run)
                    self._lay(part, start, following, run)
                    start = following
                auto.silent[start].append(end)

    def _lay_repeat(self, node: Repeat, start: int, end: int, run: int) -> None:
        """Adds a repetition; counts are ignored: {2,5} becomes {0,} or {1,}."""
        auto = self.automaton
        first, last = auto.state(run), auto.state(run)
        auto.silent[start].append(first)
        self._lay(node.part, first, last, run)
        auto.silent[last] += [first, end]
        if node.least == 0:
            auto.silent[start].append(end)


def _cuts(node: Node) -> Iterator[int]:
    match node:
        case Chars(ranges):
            for low, high in ranges:
                yield from (low, high + 1)
        case RuleReference():
            return
        case Repeat(part):
            yield from _cuts(part)
        case _:
            for part in node.parts:
                yield from _cuts(part)


def _conflicts(rules: Rules, runs: list[Repeat]) -> set[Repeat]:
    """The runs that the same character may leave or continue; all runs if there are too many."""
    try:
        builder = _Builder(rules, {run: number for number, run in enumerate(runs, 1)})
    except _TooLargeError:
        return set(runs)
    automaton, steps, held = builder.automaton, 0, 0
    waiting = [automaton.reached([(builder.start, 0)])]
    seen, found = set(waiting), set[int]()
    while waiting:
        places = waiting.pop()
        steps += len(places) * len(automaton.cuts)
        by_run = _characters_of(automaton, places)
        for run, bits in by_run.items():
            others = (other for key, other in by_run.items() if key != run)
            if run and any(bits & other for other in others):
                found.add(run)
        for following in _following(automaton, places):
            if following not in seen:
                seen.add(following)
                waiting.append(following)
                held += len(following)
            if held > MAX_STATES or steps > MAX_STEPS:
                return set(runs)
    return {runs[run - 1] for run in found}


def _characters_of(automaton: _Automaton, places: frozenset[RunState]) -> dict[int, int]:
    """The characters that each run (0: outside runs) may take next."""
    found: dict[int, int] = {}
    for state, run in places:
        for bits, _ in automaton.read[state]:
            found[run] = found.get(run, 0) | bits
    return found


def _following(automaton: _Automaton, places: frozenset[RunState]) -> Iterator[frozenset[RunState]]:
    steps = [step for state, _ in places for step in automaton.read[state]]
    for number in range(len(automaton.cuts)):
        targets = [target for bits, target in steps if bits >> number & 1]
        if targets:
            yield automaton.reached([(target, automaton.owner[target]) for target in targets])
