"""The config file, and where a setting's value comes from.

A setting is taken from the flag, else the variable, else the config file, else the model's
metadata, else the default. Click's `envvar` and `default_map` implement the first three; this file
reads config.toml into a `default_map`:

    ctx-size = 8192        # for every command that has --ctx-size
    [chat]
    temp = 0.6             # only for `lepton chat`; overrides the keys above the tables
"""

import os
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lepton_cli.engine.library.paths import config_folder
from lepton_cli.engine.library.suggestions import did_you_mean
from lepton_cli.engine.text.reading import decoded
from lepton_cli.ui.arguments.setting_names import PREFIX, SettingName, setting_names, variable_set
from quant.errors import UsageError

MAX_DOTS = 1000  # in a line


def config_path() -> Path:
    """LEPTON_CONFIG, or config.toml in Lepton's config folder, whether or not it exists."""
    chosen = os.environ.get(f"{PREFIX}_CONFIG")
    return Path(os.path.expanduser(chosen)) if chosen else config_folder() / "config.toml"


def default_map(known: Mapping[str, Mapping[str, SettingName]]) -> dict[str, dict[str, Any]]:
    """The config file as `Context.default_map`: the values of each command by parameter.

    Raises UsageError for a named file that is missing, invalid TOML, an unknown key, a setting
    given under two names, or a value that is a table. Click checks the values themselves.
    """
    path = config_path()
    content = _load(path)
    if not content:
        return {command: {} for command in known}
    tables = {key: value for key, value in content.items() if isinstance(value, dict)}
    common = {key: value for key, value in content.items() if key not in tables}
    for table in tables:
        _check_name(path, f"table [{table}]", table, known)
    for key in common:
        _check_name(path, f"key {key}", _name(key), set[str]().union(*known.values()))
    return {
        command: _values(path, "", {k: v for k, v in common.items() if _name(k) in names}, names)
        | _values(path, f"[{command}] ", tables.get(command, {}), names)
        for command, names in known.items()
    }


@dataclass(frozen=True, slots=True)
class KnownSettings(Mapping[str, Mapping[str, SettingName]]):
    """The settings that the config file may have: all options of all commands."""

    commands: Mapping[str, Any]

    def __getitem__(self, command: str) -> dict[str, SettingName]:
        return {
            name: what
            for option in self.commands[command].params
            if option.param_type_name == "option"
            for name, what in setting_names(option).items()
        }

    def __iter__(self) -> Iterator[str]:
        return iter(self.commands)

    def __len__(self) -> int:
        return len(self.commands)


def origin(error: Any) -> str | None:
    """Where a value that Click refuses was set, if not on the command line."""
    context, param = getattr(error, "ctx", None), getattr(error, "param", None)
    return None if context is None or param is None else origin_of(context, param)


def origin_of(context: Any, param: Any) -> str | None:
    """Where a parameter's value was set, if not on the command line."""
    source = context.get_parameter_source(param.name)
    if source is not None and source.name == "ENVIRONMENT":
        name = variable_set(param)
        return f"set by the variable {name}; without it: unset {name}"
    if source is not None and source.name == "DEFAULT_MAP":
        return f"set in {config_path()}"
    return None


def _load(path: Path) -> dict[str, Any]:
    try:
        return _parsed(decoded(path.read_bytes(), str(path), path))
    except OSError as error:
        if not os.path.exists(path):  # also if HOME is not a folder
            if os.environ.get(f"{PREFIX}_CONFIG"):
                raise UsageError(f"{path}: no such file", f"{PREFIX}_CONFIG names it") from error
            return {}
        raise UsageError(f"{path}: {error.strerror}", "it must be a readable file") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: {error}", "it must be TOML, like: temp = 0.7") from error


def _parsed(text: str) -> dict[str, Any]:
    """Parses TOML. Raises ValueError or RecursionError.

    Limits the dots per line, since the parser's memory grows with their square.
    """
    for number, line in enumerate(text.splitlines(), 1):
        if line.count(".") > MAX_DOTS:
            raise ValueError(f"more than {MAX_DOTS} dots (at line {number})")
    return tomllib.loads(text)


def _values(
    path: Path, table: str, content: Mapping[str, Any], names: Mapping[str, SettingName]
) -> dict[str, Any]:
    """The values by parameter."""
    keys: dict[str, str] = {}
    values: dict[str, Any] = {}
    for key, value in content.items():
        _check_name(path, f"key {table}{key}", _name(key), names)
        what = names[_name(key)]
        first = keys.setdefault(what.parameter, key)
        if first != key:
            message = f"{path}: {table}{first} and {key} are the same setting"
            raise UsageError(message, "keep one of them")
        values[what.parameter] = _value(f"{path}: {table}{key}", value, what)
    return values


def _name(key: str) -> str:
    """`ctx-size` and `ctx_size` are the same key."""
    return key.replace("-", "_")


def _value(where: str, value: Any, what: SettingName) -> Any:
    if not isinstance(value, str | int | float | list):
        kind = "table" if isinstance(value, dict) else type(value).__name__
        raise UsageError(f"{where} is a {kind}", "give text, a number or a list")
    if what.negated and not isinstance(value, bool):
        raise UsageError(f"{where} is {value!r}", "give true or false")
    if isinstance(value, float):  # as text, so that Click rejects 0.5 and inf for integers
        return repr(value)
    return not value if what.negated else value


def _check_name(path: Path, what: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        shown = [option.replace("_", "-") for option in known]
        raise UsageError(f"{path}: unknown {what}", did_you_mean(name.replace("_", "-"), shown))
