"""The grammar of an answer that consists of calls of tools."""

import json
from collections.abc import Callable
from typing import Any


def calls_notation(expression: Any, json_notation: Callable[[Any], str]) -> str:
    """The engine's notation of an expression (see call_frame).

    `json_notation` gives that of a JSON schema.
    """
    rules = _Rules(json_notation)
    start = rules.written(expression)
    return "\n".join([f"start: {start}", *rules.lines])


class _Rules:
    def __init__(self, json_notation: Callable[[Any], str]) -> None:
        self._json_notation = json_notation
        self._names = dict[str, str]()
        self.lines: list[str] = []

    def written(self, expression: Any) -> str:
        match expression:
            case str():
                return json.dumps(expression, ensure_ascii=False)
            case list():
                return " ".join(map(self.written, expression)) or '""'
            case int():
                return f"<[{expression}]>"
            case {"id": length}:
                return f"/[a-zA-Z0-9]{{{length}}}/"
            case {"json": schema}:
                return self._rule("json", json.dumps(schema), lambda: self._json_notation(schema))
            case {"until": int() as token}:
                return f"{self._rule('text', '', lambda: '/(?s:.*)/')} <[{token}]>"
            case {"until": end}:
                letters = "".join(f"\\x{{{ord(letter):x}}}" for letter in end)
                return self._rule("until", end, lambda: f"/(?s:.*){letters}/", "[lazy]")
            case {"one of": each}:
                return f"({' | '.join(map(self.written, each))})"
            case {"repeated": inner}:
                return f"({self.written(inner)})*"
        raise AssertionError(f"no expression: {expression!r:.60}")

    def _rule(self, kind: str, key: str, notation: Callable[[], str], option: str = "") -> str:
        """The name of a rule, which equal parts share."""
        name = self._names.get(kind + key)
        if name is None:
            name = self._names[kind + key] = f"{kind}_{len(self._names)}"
            self.lines.append(f"{name}{option}: {notation()}")
        return name
