"""The methods of text, lists and mappings that templates can call.

Each takes the rendering's budget and the object, then the arguments of Python's method.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from string import Formatter
from typing import Any

from jinja2 import Undefined
from jinja2.exceptions import TemplateRuntimeError

from lepton_cli.engine.text.jinja.budget import ITEM_BYTES, Budget
from lepton_cli.engine.text.jinja.provenance import cut, derived, join

Method = Callable[..., Any]

FORMAT_SPEC = re.compile(r"(.?[<>=^])?[-+ ]?#?0?\d{0,3}[,_]?(\.\d{0,2})?[a-zA-Z%]?")


def kind(value: object) -> str:
    """A value's type for a message."""
    return "a text" if isinstance(value, str) else f"a {type(value).__name__}"


# --- text: exact about where each character comes from ---------------------------------------


def joined(budget: Budget, separator: str, texts: Iterable[str]) -> str:
    return join(budget.pieces(_alternating(separator, texts)))


def strip(budget: Budget, text: str, chars: str | None = None) -> str:
    return lstrip(budget, rstrip(budget, text, chars), chars)


def lstrip(budget: Budget, text: str, chars: str | None = None) -> str:
    return cut(text, len(text) - len(str.lstrip(text, chars)), None)


def rstrip(budget: Budget, text: str, chars: str | None = None) -> str:
    return cut(text, 0, len(str.rstrip(text, chars)))


def removeprefix(budget: Budget, text: str, prefix: str) -> str:
    return cut(text, len(text) - len(str.removeprefix(text, prefix)), None)


def removesuffix(budget: Budget, text: str, suffix: str) -> str:
    return cut(text, 0, len(str.removesuffix(text, suffix)))


def split(budget: Budget, text: str, sep: str | None = None, maxsplit: int = -1) -> list[str]:
    return _located(budget, text, str.split(text, sep, maxsplit), gap=len(sep or ""))


def rsplit(budget: Budget, text: str, sep: str | None = None, maxsplit: int = -1) -> list[str]:
    return _located(budget, text, str.rsplit(text, sep, maxsplit), gap=len(sep or ""))


def splitlines(budget: Budget, text: str, keepends: bool = False) -> list[str]:
    return _located(budget, text, str.splitlines(text, keepends))


def partition(budget: Budget, text: str, sep: str) -> tuple[str, ...]:
    return tuple(_located(budget, text, str.partition(text, sep)))


def rpartition(budget: Budget, text: str, sep: str) -> tuple[str, ...]:
    return tuple(_located(budget, text, str.rpartition(text, sep)))


def replace(budget: Budget, text: str, old: str, new: str, count: int = -1) -> str:
    if old:
        return joined(budget, new, split(budget, text, old, count))
    budget.check_length((len(text) + 1) * (len(new) + 1))
    return derived(str.replace(text, old, new, count), text, new)


def format_fields(budget: Budget, text: str, *values: Any, **named: Any) -> str:
    """`str.format` whose fields are plain names or numbers, without attributes."""
    return join(budget.pieces(_formatted(text, values, named)))


def _alternating(separator: str, texts: Iterable[str]) -> Iterator[str]:
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise TemplateRuntimeError(f"{kind(text)} cannot be joined to text")
        yield separator if number else ""
        yield text


def _located(budget: Budget, text: str, parts: Iterable[str], gap: int = 0) -> list[str]:
    """The parts as slices of `text`, where they follow each other, `gap` or spaces apart."""
    found, at = [], 0
    for part in parts:
        start = text.index(part, at)
        found.append(budget.made(cut(text, start, start + len(part))))
        at = start + len(part) + gap
    return found


def _formatted(text: str, values: tuple[Any, ...], named: Mapping[str, Any]) -> Iterator[str]:
    unnamed = 0
    for literal, name, spec, conversion in Formatter().parse(text):
        yield derived(literal, text)
        if name is None:
            continue
        if conversion or not re.fullmatch(r"\w*", name) or not FORMAT_SPEC.fullmatch(spec or ""):
            raise TemplateRuntimeError(f"the format field {{{name}}} is not supported")
        number = int(name) if name.isdecimal() else unnamed
        unnamed += not name
        value = named[name] if name and not name.isdecimal() else values[number]
        if not isinstance(value, str | int | float | None):
            raise TemplateRuntimeError(f"{kind(value)} cannot be formatted")
        yield format(value, spec) if spec else str(value)


# --- text: the template's only if all of it is -----------------------------------------------


def _padding(name: str) -> Method:
    def method(budget: Budget, text: str, width: int, *fill: str) -> str:
        budget.check_length(width)
        return derived(getattr(str, name)(text, width, *fill), text, *fill)

    return method


def _recasing(name: str) -> Method:
    def method(budget: Budget, text: str) -> str:
        return derived(getattr(str, name)(text), text)

    return method


def _question(name: str) -> Method:
    def method(budget: Budget, text: str, *arguments: Any) -> Any:
        return getattr(str, name)(text, *arguments)

    return method


PADDINGS = ("center", "ljust", "rjust", "zfill")
RECASINGS = ("capitalize", "casefold", "lower", "swapcase", "title", "upper")
QUESTIONS = (
    *("count", "endswith", "find", "index", "rfind", "rindex", "startswith"),
    *("isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "islower", "isnumeric"),
    *("isspace", "istitle", "isupper"),
)
TEXT_METHODS: Mapping[str, Method] = {
    "format": format_fields,
    "join": joined,
    "lstrip": lstrip,
    "partition": partition,
    "removeprefix": removeprefix,
    "removesuffix": removesuffix,
    "replace": replace,
    "rpartition": rpartition,
    "rsplit": rsplit,
    "rstrip": rstrip,
    "split": split,
    "splitlines": splitlines,
    "strip": strip,
    **{name: _padding(name) for name in PADDINGS},
    **{name: _recasing(name) for name in RECASINGS},
    **{name: _question(name) for name in QUESTIONS},
}


# --- lists and mappings ----------------------------------------------------------------------


def _of_list(name: str) -> Method:
    def method(budget: Budget, items: list[Any], *arguments: Any) -> Any:
        budget.spend(ITEM_BYTES)
        return getattr(items, name)(*arguments)

    return method


def _search(name: str) -> Method:
    def method(budget: Budget, items: list[Any], *arguments: Any) -> Any:
        budget.check_size([items, *arguments])
        return getattr(items, name)(*arguments)

    return method


def extend(budget: Budget, items: list[Any], more: Iterable[Any]) -> None:
    items.extend(list(budget.metered(more)))


def _view(name: str) -> Method:
    def method(budget: Budget, mapping: dict[Any, Any]) -> list[Any]:
        return list(getattr(mapping, name)())

    return method


def _lookup(name: str) -> Method:
    def method(budget: Budget, mapping: dict[Any, Any], key: Any, *default: Any) -> Any:
        budget.spend(ITEM_BYTES)
        return getattr(mapping, name)(scalar(key), *default)

    return method


def update(budget: Budget, mapping: dict[Any, Any], *others: Any, **named: Any) -> None:
    mapping.update(make_mapping(budget, *others, **named))


def make_mapping(budget: Budget, other: Any = None, **named: Any) -> dict[Any, Any]:
    """`dict(...)` of a mapping and named values."""
    return budget.made({**({} if other is None else as_mapping(other)), **named})


def as_mapping(value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise TemplateRuntimeError(f"{kind(value)} is no mapping")
    return value


def scalar(key: object) -> object:
    """The key of a mapping; only scalars, as hashing nested tuples could take forever.

    What is undefined is in no mapping.
    """
    if not isinstance(key, str | int | float | Undefined | None):
        raise TemplateRuntimeError(f"{kind(key)} cannot be a key")
    return key


LIST_METHODS: Mapping[str, Method] = {
    "extend": extend,
    **{name: _of_list(name) for name in ("append", "copy", "insert", "pop", "reverse")},
    **{name: _search(name) for name in ("count", "index", "remove")},
}
DICT_METHODS: Mapping[str, Method] = {
    "copy": make_mapping,
    "update": update,
    **{name: _lookup(name) for name in ("get", "pop", "setdefault")},
    **{name: _view(name) for name in ("items", "keys", "values")},
}
