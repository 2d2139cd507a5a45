"""Parsing of command lines, with clear errors for unknown flags, and help in sections."""

import os
import re
import shlex
import shutil
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import typer.core

from lepton_cli.engine.library.suggestions import nearest
from lepton_cli.ui.arguments.setting_names import negated_values, note_conflicts, variables
from lepton_cli.ui.arguments.text_values import check_texts
from lepton_cli.ui.arguments.usage.llamacpp import (
    MODEL_SOURCES,
    NEEDLESS,
    OURS,
    Foreign,
    foreign_in,
    model_of,
)
from lepton_cli.ui.arguments.usage.refusals import example
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.wrapping import broken
from quant.errors import UsageError

OPTIONAL = -1  # the flag takes an optional value
MAX_NAME_WIDTH = 30  # columns of the first column of the help
ATTACHED = re.compile(r"(-[A-Za-z])(-?\d.*)")  # -n128, -t4
MODEL = "--model"
LINE = "lepton.line"  # the key of a context's Line

Options = Mapping[str, Any]
"""Click's options by each of their flags."""


@dataclass(frozen=True, slots=True)
class Line:
    """A parsed command line: flags with values, positional words, and notes to print."""

    options: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def args(self) -> list[str]:
        """All arguments, positional words first, as people type them."""
        if any(word.startswith("-") and word != "-" for word in self.words):
            return [*self.options, "--", *self.words]
        return [*self.words, *self.options]

    def retyped(self, command: str, words: Sequence[str]) -> str:
        """The command to type instead: the same options with other words."""
        return f"lepton {command} {shlex.join(Line(self.options, [*words]).args())}".rstrip()


class CommandGroup(typer.core.TyperGroup):
    """A group of commands, whose help shows the whole first sentence of each."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Raises UsageError for an unknown command."""
        if args[0] not in self.commands:
            near = nearest(args[0], self.commands)
            cure = f"type: {ctx.command_path} {near[0]}" if near else _list_of(ctx, "commands")
            raise UsageError(f"{args[0]} is not a command of {ctx.command_path}", cure)
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _fit(formatter)
        super().format_help(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            _write_rows(formatter, [(name, _summary(each)) for name, each in self.commands.items()])


class Command(typer.core.TyperCommand):
    """A command whose flags are whole words, as in llama.cpp: `-sys` is not `-s ys`."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        for option in self._options():
            option.envvar, option.show_envvar = variables(option), False  # shown in the epilog

    def invoke(self, ctx: Any) -> Any:
        from lepton_cli.engine.loading.addresses import check_addresses  # for start-up time

        check_addresses()
        return super().invoke(ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:
            flags = flags_of(self.get_params(ctx))
            line = read_line(_path(ctx), args, flags, foreign_in(_path(ctx)))
            self._count(_path(ctx), line)
            for text in line.notes:
                note(text)
            note_conflicts(self._options(), os.environ)
            negated = negated_values(self._options(), os.environ)
            ctx.default_map = {**(ctx.default_map or {}), **negated}
            ctx.meta[LINE] = line
            args = line.args()
        rest = super().parse_args(ctx, args)
        check_texts(ctx, self.get_params(ctx))
        return rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _fit(formatter)
        super().format_help(ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        arguments_first = sorted(
            self.get_params(ctx), key=lambda each: each.param_type_name != "argument"
        )
        for parameter in arguments_first:
            record = parameter.get_help_record(ctx)
            if record is not None:
                title = getattr(parameter, "rich_help_panel", None) or "Options"
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            with formatter.section(broken(title, formatter.width)):
                _write_rows(formatter, records)

    def _options(self) -> list[typer.core.TyperOption]:
        return [param for param in self.params if isinstance(param, typer.core.TyperOption)]

    def _count(self, path: str, line: Line) -> None:
        """Raises UsageError for more positional words than the command takes."""
        arguments = [param for param in self.params if param.param_type_name == "argument"]
        counts = [param.nargs for param in arguments]
        room = len(line.words) if -1 in counts else sum(counts)
        kept, surplus = line.words[:room], line.words[room:]
        if not surplus:
            return
        message = f"lepton {path} does not take the word {surplus[0]}"
        if kept and arguments[-1].name == "out" and os.path.exists(kept[-1]):
            cure = line.retyped(path, [*kept[:-1], surplus[-1]])  # several sources, then OUT
            raise UsageError(message, f"type: {cure}")
        if self._reads_file(line) and os.path.isfile(surplus[0]):
            with_text = Line([*line.options, "-f", surplus[0]])
            raise UsageError(message, f"a text is given by -f: {with_text.retyped(path, kept)}")
        raise UsageError(message, f"without it: {line.retyped(path, kept)}")

    def _reads_file(self, line: Line) -> bool:
        """Whether the command takes a text by -f, and none is given yet."""
        return "-f" in flags_of(self.params) and not {"-f", "--file"} & set(line.options)


def _fit(formatter: Any) -> None:
    """Makes the help fit narrow terminals: Click uses at least 50 columns."""
    formatter.width = min(formatter.width, shutil.get_terminal_size().columns - 2)


def _write_rows(formatter: Any, rows: Sequence[tuple[str, str]]) -> None:
    """Writes rows broken only at spaces (Click breaks at hyphens, but not the first column)."""
    indent = " " * formatter.current_indent
    room = formatter.width - len(indent)
    widest = min(MAX_NAME_WIDTH, formatter.width * 2 // 5)
    begin = min(widest, max(len(name) for name, _ in rows)) + 2
    below = "\n" + " " * begin
    for name, text in rows:
        fits = len(name) + 2 <= begin
        shown = name.ljust(begin) if fits else broken(name, room) + below
        shown += broken(text, room - begin).replace("\n", below)
        formatter.write(indent + shown.replace("\n", "\n" + indent) + "\n")


def _path(ctx: Any) -> str:
    """`run`, or `sessions show`."""
    return str(ctx.command_path).partition(" ")[2]


def _list_of(ctx: Any, what: str) -> str:
    return f"`{ctx.command_path} --help` lists the {what}"


def _summary(command: Any) -> str:
    return str(command.help or "").split("\n\n", maxsplit=1)[0].replace("\n", " ")


def flags_of(parameters: Sequence[Any]) -> dict[str, Any]:
    return {
        flag: option
        for option in parameters
        if isinstance(option, typer.core.TyperOption)
        for flag in (*option.opts, *option.secondary_opts)
    }


def read_line(
    command: str, args: Sequence[str], options: Options, foreign: Mapping[str, Foreign]
) -> Line:
    """Parses the words; drops or refuses llama.cpp's flags that Lepton does not have.

    Flags for a model on the web become `--model`, where the command has that. Raises UsageError for
    an unknown flag, or one without its value.
    """
    words, line, sources = deque(args), Line(), dict[str, str]()
    while words:
        word = words.popleft()
        if word == "--":
            line.words.extend(words)
            break
        if not word.startswith("-") or word == "-":
            line.words.append(word)
            continue
        flag, value = _split(word, options)
        if value is not None:
            words.appendleft(value)
        if flag in options:
            line.options.extend(_taken(flag, options[flag], words, attached=value is not None))
        elif flag in MODEL_SOURCES and MODEL in options:
            _, sources[MODEL_SOURCES[flag]] = _taken(flag, options[MODEL], words)
        elif flag in foreign:
            line.notes.extend(_pass_over(flag, foreign[flag], words))
        else:
            raise UsageError(f"unknown option {flag}", _hint(flag, options, command))
    if sources:
        if {MODEL, "-m"} & set(line.options):
            raise UsageError("the model is named by -m and by -hf or -mu", "give one of them")
        name = model_of(sources.get("repo"), sources.get("file"), sources.get("url"))
        line.options.extend([MODEL, name])
    return line


def _taken(flag: str, option: Any, words: deque[str], *, attached: bool = False) -> list[str]:
    """The flag and its values."""
    count = _arity(option)
    if count == OPTIONAL:
        follows = attached or (words and not words[0].startswith("-"))
        return [flag, words.popleft() if follows else ""]
    if len(words) < count:
        raise UsageError(f"{flag} needs a value after it", f"for example: {flag} {example(option)}")
    return [flag, *(words.popleft() for _ in range(count))]


def _arity(option: Any) -> int:
    """How many values the flag takes."""
    if option is None or option.is_flag or option.count:
        return 0
    return OPTIONAL if (option.metavar or "").startswith("[") else int(option.nargs)


def _split(word: str, options: Options) -> tuple[str, str | None]:
    """Splits `--top_k=40` and `-n128`; underscores count as dashes, as in llama.cpp."""
    attached = ATTACHED.fullmatch(word)
    if attached and _arity(options.get(attached[1])):
        return attached[1], attached[2]
    flag, equals, value = word.partition("=")
    if flag.startswith("--"):
        flag = flag.replace("_", "-")
    if equals and flag in options and not _arity(options[flag]):
        raise UsageError(f"{flag} takes no value, but got {value!r}", f"type only {flag}")
    return flag, value if equals else None


def _pass_over(flag: str, foreign: Foreign, words: deque[str]) -> list[str]:
    if foreign.verdict == "refused":
        raise UsageError(
            f"{flag} is an option of llama.cpp that Lepton does not have", foreign.reason
        )
    if words and (foreign.values or words[0] in foreign.choices):
        words.popleft()
    return [f"{flag} is ignored: {foreign.reason}"] if foreign.verdict == "ignored" else []


def _hint(flag: str, options: Options, command: str) -> str:
    if OURS.get(flag, "").partition(" ")[0] in options:
        return f"Lepton's option is {OURS[flag]}"
    if flag in NEEDLESS:
        return f"leave it out: {NEEDLESS[flag]}"
    long = [known for known in options if known.startswith("--")]
    near = nearest(flag, long) or nearest(flag, options)
    once = {options[name].name: name for name in reversed(near)}  # one flag per option
    names = " or ".join(reversed(once.values()))
    return f"did you mean {names}?" if near else f"`lepton {command} --help` lists the options"
