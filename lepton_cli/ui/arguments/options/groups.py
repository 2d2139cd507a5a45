"""Options are declared once, in groups: a dataclass for each group, a field for each option.

Their names and short names are llama.cpp's.
"""

import functools
import inspect
import typing
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Annotated, Any

import typer


def section(title: str) -> Callable[..., Any]:
    """`typer.Option` for options in one section of the help."""
    return functools.partial(typer.Option, rich_help_panel=title)


JsonFlag = Annotated[bool, section("Options")("--json", help="Print one JSON object.")]


def expand_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Replaces each parameter that is a group of options by the options themselves."""
    hints = typing.get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}

    def expanded(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        command(**values)

    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
        parameters += _options(groups[name]) if name in groups else own
    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__doc__, expanded.__name__ = command.__doc__, command.__name__
    return expanded


def _options(group: Any) -> list[inspect.Parameter]:
    hints = typing.get_type_hints(group, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(
            field.name,
            keyword,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]
