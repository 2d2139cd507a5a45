"""Checks texts of flags, variables and the config file: UTF-8, without byte order mark."""

from collections.abc import Sequence
from typing import Any

from lepton_cli.engine.text.reading import checked, read_text
from lepton_cli.ui.arguments.setting_names import variable_set
from quant.errors import UsageError

NAMES = ("A", "B", "FILE", "INPUT", "MODEL", "NAME", "OUT")  # file names may be any bytes


def check_texts(context: Any, parameters: Sequence[Any]) -> None:
    """Raises UsageError naming the flag or variable whose text is not UTF-8."""
    for parameter in parameters:
        value = context.params.get(parameter.name)
        if _metavar(parameter) not in NAMES and isinstance(value, str | list | tuple):
            context.params[parameter.name] = _checked(value, place_of(context, parameter))


def place_of(context: Any, parameter: Any) -> str:
    """The flag or argument, or the variable if that sets the value."""
    source = context.get_parameter_source(parameter.name)
    if source is not None and source.name == "ENVIRONMENT":
        return f"the variable {variable_set(parameter)}"
    argument = parameter.param_type_name == "argument"
    return _metavar(parameter) if argument else str(parameter.opts[0])


def _metavar(parameter: Any) -> str:
    """The metavar without the brackets of optional arguments."""
    return (parameter.metavar or "").strip("[].")


def _checked(value: Any, place: str) -> Any:
    if isinstance(value, str):
        return checked(value, place)
    if isinstance(value, list | tuple):
        return type(value)(_checked(part, place) for part in value)
    return value


def one_text(flag: str, text: str | None, file: str | None) -> str | None:
    """The text of an option, or of its -file variant. Raises UsageError if both are given."""
    if text is not None and file is not None:
        raise UsageError(f"{flag} and {flag}-file are both given", "give one of them")
    return text if file is None else read_text(file)
