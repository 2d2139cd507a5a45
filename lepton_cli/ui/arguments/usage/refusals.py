"""Rewords Click's errors: which values an option takes, with an example."""

from shlex import quote
from typing import Any

import typer

from lepton_cli.ui.arguments.config import origin
from quant.errors import LeptonError, UsageError


def refusal(error: typer.TyperException) -> LeptonError:
    """Click's error as ours, with a hint: where the value was set, or what to type."""
    parameter = getattr(error, "param", None)
    if parameter is None:
        kind = UsageError if error.exit_code == UsageError.exit_code else LeptonError
        path = getattr(getattr(error, "ctx", None), "command_path", "lepton")
        return kind(error.format_message(), f"`{path} --help` lists the commands and options")
    if not error.message:  # an argument is missing
        path, missing = _named(parameter, error), parameter.human_readable_name.upper()
        return UsageError(f"{path} needs {missing}", f"type: {path} {_arguments(error)}")
    given, found, _ = error.message.partition(" is not ")
    message = f"{_named(parameter, error)} takes {expected(parameter)}"
    hint = origin(error) or f"for example: {_named(parameter, error, 1)} {example(parameter)}"
    return UsageError(f"{message}, not {given}" if found else message, hint)


def _arguments(error: Any) -> str:
    """The command's required arguments: those that were given, and the names of the others."""
    context = error.ctx
    needed = [each for each in context.command.params if each.param_type_name == "argument"]
    given = [(each, context.params.get(each.name)) for each in needed if each.required]
    return " ".join(
        each.human_readable_name.upper() if value is None else quote(str(value))
        for each, value in given
    )


def _named(parameter: Any, error: Any, most: int = 2) -> str:
    """`-n, --predict` as in the help; for a positional argument the command."""
    if parameter.param_type_name == "argument":
        return str(error.ctx.command_path)
    return ", ".join(sorted(parameter.opts, key=len)[:most])


def expected(parameter: Any) -> str:
    kind = parameter.type
    choices = list(getattr(kind, "choices", ()))
    if choices:
        return f"{', '.join(choices[:-1])} or {choices[-1]}"
    noun = {"int": "a whole number", "float": "a number", "boolean": "1 or 0"}.get(_base(kind))
    if noun is None:
        return "a list" if parameter.multiple else "a text"
    low, high = getattr(kind, "min", None), getattr(kind, "max", None)
    if low is not None and high is not None:
        return f"{noun} from {low} to {high}"
    return noun if low is None else f"{noun}, {low} or more"


def example(parameter: Any) -> str:
    """An allowed value, or the name of the value."""
    kind = parameter.type
    choices = list(getattr(kind, "choices", ()))
    if choices:
        return str(choices[0])
    usual = {"int": 1, "float": 0.5, "boolean": 1}.get(_base(kind))
    if usual is None:
        return str(parameter.metavar or "TEXT")
    given = parameter.default
    return str(given if isinstance(given, int | float) and given > 0 else usual)


def _base(kind: Any) -> str:
    """The base type: `int` for Click's `int` and `int range`."""
    return str(kind.name).split()[0]
