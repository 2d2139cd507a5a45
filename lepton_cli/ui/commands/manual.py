"""The manual page, generated from the same declarations as `--help`."""

import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lepton_cli.engine.library.paths import home
from quant.errors import UsageError

EXIT_STATUS = (
    ("0", "an answer"),
    ("1", "something failed"),
    ("2", "wrong usage, or a missing or unreadable file"),
    ("3", "a model file that is damaged or not supported"),
    ("4", "the prompt does not fit into the context"),
    ("5", "not enough memory"),
    ("6", "the answer is not as asked"),
    ("130", "interrupted by Ctrl-C"),
)
FILES = (
    ("~/.config/lepton/config.toml", "settings: any long option as a key, like temp = 0.7"),
    ("~/.local/state/lepton", "chats and the input history"),
    ("~/.cache/lepton", "compiled kernels and the prompt cache"),
)
# roff would print these as typographic characters, which cannot be typed
ESCAPED = str.maketrans(
    {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}
)


def install_manual(context: Any, version: str) -> Path:
    """Writes the page to a folder of `man`; returns its path. Raises UsageError."""
    chosen = os.environ.get("XDG_DATA_HOME", "")
    data = Path(chosen) if os.path.isabs(chosen) else home() / ".local" / "share"
    path = data / "man" / "man1" / "lepton.1"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(manual(context, version), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", "set XDG_DATA_HOME") from error
    return path


def manual(context: Any, version: str) -> str:
    """The page in the roff language, of the whole program's Click context."""
    summary = str(context.command.help).partition("\n")[0]
    lines = [
        f'.TH LEPTON 1 "" "Lepton {_roff(version)}" "User Commands"',
        ".SH NAME",
        f"lepton \\- {_roff(summary.rstrip('.'))}",
        ".SH SYNOPSIS",
        r".B lepton",
        r"\fICOMMAND\fR [\fIOPTIONS\fR] [\fIWORDS\fR]",
        ".SH DESCRIPTION",
        _roff(summary),
        ".SH OPTIONS",
        *_parameters(context),
        ".SH COMMANDS",
        *_commands(context),
        ".SH EXIT STATUS",
        *(line for code, meaning in EXIT_STATUS for line in _item(code, meaning)),
        ".SH ENVIRONMENT",
        _roff("Each long option has a variable: LEPTON_TOP_K for --top-k. A flag wins over it."),
        ".SH FILES",
        *(line for file, meaning in FILES for line in _item(file, meaning)),
    ]
    return "\n".join(lines) + "\n"


def _commands(parent: Any) -> Iterator[str]:
    """A section for each command, including subcommands."""
    for name, command in parent.command.commands.items():
        context = type(parent)(command, info_name=name, parent=parent)
        usage = [context.command_path, *command.collect_usage_pieces(context)]
        yield f".SS {_roff(' '.join(usage))}"
        yield _roff(inspect.cleandoc(command.help or ""))
        yield from _parameters(context)
        if getattr(command, "commands", None):
            yield from _commands(context)


def _parameters(context: Any) -> Iterator[str]:
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in parameter.opts:
            yield from _item(*record)


def _item(term: str, meaning: str) -> Iterator[str]:
    yield ".TP"
    yield rf"\fB{_roff(term)}\fR"
    yield _roff(meaning)


def _roff(text: str) -> str:
    """Text escaped for roff; empty lines begin paragraphs."""
    plain = text.translate(ESCAPED)
    lines = (rf"\&{line}" if line.startswith(".") else line for line in plain.split("\n"))
    return "\n".join(line if line.strip() else ".PP" for line in lines)
