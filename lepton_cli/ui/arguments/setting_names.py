"""The names of an option besides its flags: variables, and keys of the config file.

They are derived from the long flags: `--temp` and `--temperature` give LEPTON_TEMP and
LEPTON_TEMPERATURE, `temp` and `temperature`. `--no-think` gives LEPTON_NO_THINK, the opposite of
LEPTON_THINK. If several variables of an option are set, the first spelling in --help counts; an
empty variable counts as unset.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lepton_cli.engine.library.suggestions import nearest
from lepton_cli.ui.terminal.notes import note
from quant.errors import UsageError

PREFIX = "LEPTON"
OTHER_VARIABLES = ("LEPTON_CONFIG", "LEPTON_CPU", "LEPTON_DEBUG")  # that are not options
OF_TESTS = "LEPTON_TEST_"


@dataclass(frozen=True, slots=True)
class SettingName:
    """What a name sets. `negated`: it comes from a --no- flag and sets the opposite."""

    parameter: str
    negated: bool = False


def setting_names(option: Any) -> dict[str, SettingName]:
    """What each name of a Click option (like `ctx_size`) sets, in order of priority."""
    names = {_name(flag): SettingName(option.name) for flag in option.opts if flag.startswith("--")}
    names = names or {option.name: SettingName(option.name)}
    return names | {_name(flag): SettingName(option.name, True) for flag in option.secondary_opts}


def names_of(commands: Mapping[str, Any]) -> Iterator[str]:
    """The names of all options of the commands and their subcommands."""
    for command in commands.values():
        for option in command.params:
            if option.param_type_name == "option":
                yield from setting_names(option)
        yield from names_of(getattr(command, "commands", {}))


def variable(name: str) -> str:
    return f"{PREFIX}_{name.upper()}"


def variables(option: Any) -> list[str]:
    """The variables of the option, for Click; the first that is set counts."""
    return [variable(name) for name, what in setting_names(option).items() if not what.negated]


def negated_values(options: Iterable[Any], environ: Mapping[str, str]) -> dict[str, bool]:
    """What LEPTON_NO_... variables set, by parameter. Raises UsageError for invalid booleans."""
    values: dict[str, bool] = {}
    for option in options:
        for name, what in setting_names(option).items():
            text = environ.get(variable(name)) if what.negated else None
            if text:
                chosen = option.type.str_to_bool(text)
                if chosen is None:
                    raise UsageError(f"{variable(name)} is {text!r}", "set it to 1 or 0")
                values.setdefault(option.name, not chosen)
    return values


def variable_set(option: Any, environ: Mapping[str, str] = os.environ) -> str | None:
    """The variable that sets the option's value, if one does."""
    return next((name for name in variables(option) if environ.get(name)), None)


def note_conflicts(options: Iterable[Any], environ: Mapping[str, str]) -> None:
    """Prints a note if two variables of one option disagree."""
    for option in options:
        present = {
            variable(name): _meaning(option, what, environ[variable(name)])
            for name, what in setting_names(option).items()
            if environ.get(variable(name))
        }
        if len(set(present.values())) > 1:
            first = next(iter(present))
            note(f"{' and '.join(present)} have different values: {first} counts")


def note_unknown(names: Iterable[str], environ: Mapping[str, str]) -> None:
    """Prints a note for each unknown LEPTON_ variable; `names` are those of all options.

    They are not asked for if no variable is set, since all commands are built to know them.
    """
    set_here = [name for name, value in sorted(environ.items()) if value and _is_ours(name)]
    known = {*map(variable, names), *OTHER_VARIABLES} if set_here else set()
    for given in set_here:
        if given not in known:
            near = nearest(_short(given), map(_short, known))
            cure = f": did you mean {' or '.join(map(variable, near))}?" if near else ""
            note(f"the variable {given} is unknown{cure}")


def _is_ours(name: str) -> bool:
    """Whether the variable should be an option's."""
    return (
        name.startswith(f"{PREFIX}_")
        and not name.startswith(OF_TESTS)
        and name not in OTHER_VARIABLES
    )


def _meaning(option: Any, what: SettingName, text: str) -> str | bool:
    return option.type.str_to_bool(text) is not what.negated if option.secondary_opts else text


def _name(flag: str) -> str:
    return flag.lstrip("-").replace("-", "_")


def _short(name: str) -> str:
    return name.removeprefix(f"{PREFIX}_")
