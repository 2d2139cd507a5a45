"""The filters and tests of chat templates. As methods do, each takes the rendering's budget first.

`tojson` is Hugging Face's: no HTML escapes, the keys' order kept, and generators become lists.
"""

import json
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import markupsafe
from jinja2 import Undefined
from jinja2.defaults import DEFAULT_TESTS
from jinja2.exceptions import TemplateRuntimeError
from jinja2.filters import do_default, do_dictsort, do_float, do_int, do_title

from lepton_cli.engine.jinja import methods
from lepton_cli.engine.jinja.budget import Budget
from lepton_cli.engine.jinja.methods import Method
from lepton_cli.engine.jinja.provenance import cut, derived, join

MAX_INDENT = 16


def printed(budget: Budget, value: Any) -> str:
    """What `{{ value }}` shows."""
    if isinstance(value, str):
        return value
    budget.weigh(value)
    return str(value)


COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
    "in": lambda item, items: item in items,
    "notin": lambda item, items: item not in items,
}


def compared(budget: Budget, comparison: str, left: Any, right: Any) -> bool:
    for operand in (left, right):
        if isinstance(operand, list | tuple | dict):
            budget.weigh(operand)
    return bool(COMPARISONS[comparison](left, right))


# --- filters of text -------------------------------------------------------------------------


def _of_text(method: Method) -> Method:
    def apply(budget: Budget, value: Any, *arguments: Any, **named: Any) -> Any:
        return method(budget, printed(budget, value), *arguments, **named)

    return apply


def title(budget: Budget, text: str) -> str:
    return derived(do_title(text), text)


def escape(budget: Budget, text: str) -> str:
    return derived(str(markupsafe.escape(text)), text)


def replace(budget: Budget, text: str, old: Any, new: Any, count: int | None = None) -> str:
    shown = printed(budget, old), printed(budget, new)
    return methods.replace(budget, text, *shown, -1 if count is None else count)


def join_all(budget: Budget, items: Iterable[Any], separator: str = "") -> str:
    return methods.joined(budget, separator, (printed(budget, item) for item in items))


def indent(
    budget: Budget, text: str, width: int | str = 4, first: bool = False, blank: bool = False
) -> str:
    margin = width if isinstance(width, str) else " " * min(width, MAX_INDENT)
    lines = methods.splitlines(budget, join([text, "\n"]))
    kept = [(margin if first else "") if n == 0 else margin if line or blank else "" for n, line in enumerate(lines)]
    return methods.joined(budget, "\n", (join(pair) for pair in zip(kept, lines, strict=True)))


def tojson(
    budget: Budget,
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    encoder = json.JSONEncoder(
        ensure_ascii=ensure_ascii,
        indent=indent if indent is None else min(indent, MAX_INDENT),
        separators=separators,
        sort_keys=sort_keys,
        default=lambda item: _generated(budget, item),
    )
    return join(budget.pieces(encoder.iterencode(value)))


def from_json(budget: Budget, text: str) -> Any:
    budget.made([*text[: budget.longest]])
    return json.loads(text)


def _generated(budget: Budget, items: Any) -> list[Any]:
    if not isinstance(items, Iterator):
        raise TemplateRuntimeError(f"a {type(items).__name__} has no JSON form")
    return list(budget.metered(items))
