"""Settings beyond flags: the config file, LEPTON_ variables, and where a value came from.

A setting comes from the flag, else the variable, else the config file, else the model's metadata,
else the default. Click's own `auto_envvar_prefix` and `default_map` do the first three; what is
here reads config.toml into a `default_map`:

    ctx-size = 8192        # for every command that has --ctx-size
    [chat]
    temp = 0.6             # for `lepton chat` alone; wins over the keys above the tables
"""

import os
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from lepton_cli.engine.paths import config_folder
from lepton_cli.engine.spelling import did_you_mean
from quant.errors import UsageError

PREFIX = "LEPTON"  # of variables; each command's context settings give it as auto_envvar_prefix

Known = Mapping[str, Collection[str]]
"""The parameters of each command: what a config file may set."""


def config_path() -> Path:
    """LEPTON_CONFIG, or config.toml in Lepton's config folder, whether or not it is there."""
    chosen = os.environ.get(f"{PREFIX}_CONFIG")
    return Path(os.path.expanduser(chosen)) if chosen else config_folder() / "config.toml"


def default_map(known: Known) -> dict[str, dict[str, Any]]:
    """The config file as `Context.default_map`: the values of each command by parameter.

    Raises UsageError for a file that is named but missing or is no TOML, a key that no command
    knows and a value that is a table; whether a value fits its option is Click's to say.
    """
    path = config_path()
    common: dict[str, Any] = {}
    tables: dict[str, dict[str, Any]] = {command: {} for command in known}
    options = set[str]().union(*known.values())
    for key, value in _load(path).items():
        if isinstance(value, dict):
            _check_name(path, f"table [{key}]", key, known)
            for name, inner in value.items():
                tables[key][_parameter(path, f"[{key}] ", name, inner, known[key])] = inner
        else:
            common[_parameter(path, "", key, value, options)] = value
    return {
        command: {name: common[name] for name in common.keys() & known[command]} | table
        for command, table in tables.items()
    }


def known_settings(commands: Mapping[str, Any]) -> dict[str, set[str]]:
    """What the config file may set, from a Click group's commands: all their options."""
    return {
        name: {param.name for param in command.params if param.param_type_name == "option"}
        for name, command in commands.items()
    }


def origin(error: Any) -> str | None:
    """Where the value came from that Click refuses, if not from the command line."""
    context, param = getattr(error, "ctx", None), getattr(error, "param", None)
    if context is None or param is None:
        return None
    source = context.get_parameter_source(param.name)
    if source is not None and source.name == "ENVIRONMENT":
        return f"the variable {PREFIX}_{param.name.upper()} says so"
    if source is not None and source.name == "DEFAULT_MAP":
        return f"{config_path()} says so"
    return None


def _load(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if os.environ.get(f"{PREFIX}_CONFIG"):
            raise UsageError(f"{path}: no such file", f"{PREFIX}_CONFIG names it") from error
        return {}
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "make it a file that you may read") from error
    except ValueError as error:  # no TOML, or not even UTF-8
        raise UsageError(f"{path}: {error}", "it must be TOML, like: temp = 0.7") from error


def _parameter(path: Path, table: str, key: str, value: Any, known: Collection[str]) -> str:
    """The parameter that the key sets: `ctx-size` and `ctx_size` are the same."""
    name = key.replace("-", "_")
    _check_name(path, f"key {table}{key}", name, known)
    if not isinstance(value, str | int | float | list):
        kind = "table" if isinstance(value, dict) else type(value).__name__
        raise UsageError(f"{path}: {table}{key} is a {kind}", "give text, a number or a list")
    return name


def _check_name(path: Path, what: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        shown = [option.replace("_", "-") for option in known]
        raise UsageError(f"{path}: unknown {what}", did_you_mean(name.replace("_", "-"), shown))
