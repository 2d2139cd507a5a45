"""The filters and tests of chat templates. Each takes the rendering's budget first.

`tojson` is like Hugging Face's: no HTML escapes, keys in order.
"""

import itertools
import json
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import markupsafe
from jinja2 import Undefined
from jinja2.exceptions import TemplateRuntimeError
from jinja2.filters import do_default, do_dictsort, do_float, do_int, do_title

from lepton_cli.engine.text.jinja import methods
from lepton_cli.engine.text.jinja.budget import ITEM_BYTES, Budget
from lepton_cli.engine.text.jinja.methods import Method
from lepton_cli.engine.text.jinja.provenance import cut, derived, join

MAX_INDENT = 16


def printed(budget: Budget, value: Any) -> str:
    """What `{{ value }}` shows."""
    if isinstance(value, str):
        return value
    budget.check_size(value)
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
            budget.check_size(operand)
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
    indented = (join([margin, line]) if line or blank else line for line in lines[1:])
    start = join([margin, lines[0]]) if first else lines[0]
    return methods.joined(budget, "\n", itertools.chain([start], indented))


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
        default=_no_json,
    )
    return join(budget.pieces(encoder.iterencode(value)))


def from_json(budget: Budget, text: str) -> Any:
    budget.spend(ITEM_BYTES * len(text) // 2)
    return json.loads(text)


def _no_json(value: object) -> NoReturn:
    raise TemplateRuntimeError(f"{methods.kind(value)} has no JSON form")


# --- filters of lists and numbers ------------------------------------------------------------


def first(budget: Budget, items: Any) -> Any:
    if isinstance(items, str):
        return cut(items, 0, 1)
    return next(iter(items), Undefined("there is no first item, the sequence is empty"))


def last(budget: Budget, items: Any) -> Any:
    if isinstance(items, str):
        return cut(items, -1, None)
    return next(reversed(items), Undefined("there is no last item, the sequence is empty"))


def reverse(budget: Budget, items: Any) -> Any:
    if isinstance(items, str):
        return derived(items[::-1], items)
    return list(budget.metered(items))[::-1]


def pairs(budget: Budget, mapping: Any) -> list[tuple[Any, Any]]:
    return [] if isinstance(mapping, Undefined) else list(methods.as_mapping(mapping).items())


def sorted_pairs(budget: Budget, mapping: Any, *arguments: Any, **named: Any) -> Any:
    budget.check_size(mapping)
    return do_dictsort(mapping, *arguments, **named)


def total(budget: Budget, numbers: Iterable[Any]) -> Any:
    return sum(budget.metered(numbers))


FILTERS: Mapping[str, Method] = {
    "abs": lambda budget, number: abs(number),
    "count": lambda budget, items: len(items),
    "d": lambda budget, *arguments, **named: do_default(*arguments, **named),
    "default": lambda budget, *arguments, **named: do_default(*arguments, **named),
    "dictsort": sorted_pairs,
    "first": first,
    "float": lambda budget, *arguments, **named: do_float(*arguments, **named),
    "int": lambda budget, *arguments, **named: do_int(*arguments, **named),
    "items": pairs,
    "join": join_all,
    "last": last,
    "length": lambda budget, items: len(items),
    "list": lambda budget, items: list(budget.metered(items)),
    "reverse": reverse,
    "safe": printed,
    "string": printed,
    "sum": total,
    "tojson": tojson,
    "capitalize": _of_text(methods.TEXT_METHODS["capitalize"]),
    "e": _of_text(escape),
    "escape": _of_text(escape),
    "from_json": _of_text(from_json),
    "indent": _of_text(indent),
    "lower": _of_text(methods.TEXT_METHODS["lower"]),
    "replace": _of_text(replace),
    "title": _of_text(title),
    "trim": _of_text(methods.strip),
    "upper": _of_text(methods.TEXT_METHODS["upper"]),
}


# --- tests -----------------------------------------------------------------------------------


def _comparison(name: str) -> Method:
    return lambda budget, left, right: compared(budget, name, left, right)


def divisible(budget: Budget, number: Any, by: Any) -> bool:
    """Whether it is divisible; `%` on text would format it."""
    if not isinstance(number, int | float):
        raise TemplateRuntimeError(f"{methods.kind(number)} cannot be divided")
    return bool(number % by == 0)


HARMLESS_TESTS = (
    *("boolean", "defined", "false", "filter", "float", "integer", "iterable", "mapping", "none"),
    *("number", "sameas", "sequence", "string", "test", "true", "undefined"),
)
TESTS: Mapping[str, Method] = {
    **{name: _comparison("eq") for name in ("eq", "equalto", "==")},
    **{name: _comparison("ne") for name in ("ne", "!=")},
    **{name: _comparison("lt") for name in ("lt", "lessthan", "<")},
    **{name: _comparison("lteq") for name in ("le", "<=")},
    **{name: _comparison("gt") for name in ("gt", "greaterthan", ">")},
    **{name: _comparison("gteq") for name in ("ge", ">=")},
    "in": _comparison("in"),
    "divisibleby": divisible,
    "even": lambda budget, number: divisible(budget, number, 2),
    "odd": lambda budget, number: not divisible(budget, number, 2),
}
