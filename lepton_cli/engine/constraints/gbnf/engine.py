"""Translates GBNF for the engine (llguidance): to one regex if possible, else to rules.

The engine matches terminals greedily. A terminal is one character, or a repetition for which `runs`
has shown that this makes no difference; so the engine accepts exactly the grammar's texts.
"""

from lepton_cli.engine.constraints.gbnf.grammar import (
    Chars,
    Choice,
    Node,
    Ranges,
    Repeat,
    RuleReference,
    Rules,
)
from lepton_cli.engine.constraints.gbnf.runs import recursive_rules, safe_runs

MAX_REGEX = 100_000


def engine_grammar(rules: Rules) -> str:
    """The rules in the engine's notation, beginning with `start` for `root`."""
    regexes = _Regexes(rules)
    if "root" not in recursive_rules(rules):
        regex = regexes.written(rules["root"])
        if regex is not None:
            return f"start: /{regex}/"
    return _Writer(rules, regexes).text()


class _Regexes:
    """Writes non-recursive nodes as a regex; None if it gets too long."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._known: dict[str, str | None] = {}

    def written(self, node: Node) -> str | None:
        match node:
            case Chars(ranges):
                return _class(ranges)
            case RuleReference(name):
                if name not in self._known:
                    self._known[name] = self.written(self._rules[name])
                return self._known[name]
            case Repeat(part, least, most):
                inner = self.written(part)
                return inner and f"(?:{inner}){_counts(least, most)}"
        return self._joined(node.parts, "|" if isinstance(node, Choice) else "")

    def _joined(self, parts: tuple[Node, ...], sign: str) -> str | None:
        pieces: list[str] = []
        length = 0
        for part in parts:
            piece = self.written(part)
            if piece is None or length > MAX_REGEX:
                return None
            pieces.append(piece)
            length += len(piece)
        return f"(?:{sign.join(pieces)})"


class _Writer:
    """Writes rules in the engine's notation; their names become numbers."""

    def __init__(self, rules: Rules, regexes: _Regexes) -> None:
        self._rules, self._regexes = rules, regexes
        self._names = {name: f"rule_{number}" for number, name in enumerate(rules)}
        self._names["root"] = "start"
        self._runs = safe_runs(rules)

    def text(self) -> str:
        lines = [
            f"{self._names[name]}: {self._written(node)}" for name, node in self._rules.items()
        ]
        return "\n".join(lines)

    def _written(self, node: Node) -> str:
        match node:
            case Chars(ranges):
                return f"/{_class(ranges)}/"
            case RuleReference(name):
                return self._names[name]
            case Repeat(part, least, most):
                return self._run(node) or f"({self._written(part)}){_counts(least, most)}"
            case Choice(parts):
                return f"({' | '.join(map(self._written, parts))})"
        return " ".join(map(self._written, node.parts)) or '""'

    def _run(self, node: Repeat) -> str | None:
        """A repetition as one terminal. One that may be empty is made optional."""
        regex = self._regexes.written(node.part) if node in self._runs else None
        piece = regex and f"/(?:{regex}){_counts(max(1, node.least), node.most)}/"
        return f"({piece})?" if piece and node.least == 0 else piece


def _counts(least: int, most: int | None) -> str:
    return f"{{{least},{'' if most is None else most}}}"


def _class(ranges: Ranges) -> str:
    return "[" + "".join(rf"\x{{{low:x}}}-\x{{{high:x}}}" for low, high in ranges) + "]"
