"""Guesses what a newcomer meant by an unknown command, and suggests the exact command."""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lepton_cli.engine.library.catalogue import names_model, resolve
from lepton_cli.engine.library.suggestions import nearest
from lepton_cli.ui.arguments.command import CommandGroup, Line, flags_of, read_line
from lepton_cli.ui.arguments.config import KnownSettings, default_map
from lepton_cli.ui.arguments.usage.llamacpp import INTERACTIVE, foreign_in
from lepton_cli.ui.arguments.words import BUILTIN
from quant.errors import UsageError

OURS = {  # our command -> other programs' names for it
    theirs: ours
    for ours, names in {
        "run": "llama-completion ask generate gen complete completion prompt query exec",
        "chat": "llama-cli talk repl interactive start open",
        "models": "list ls catalog catalogue search",
        "inspect": "show info metadata gguf-dump",
        "bench": "benchmark speed perf llama-bench",
        "tokenize": "tokens tokenizer encode llama-tokenize",
        "convert": "import convert_hf_to_gguf.py convert-hf-to-gguf.py",
        "quantize": "quant llama-quantize",
        "merge-lora": "export-lora llama-export-lora",
        "perplexity": "ppl llama-perplexity",
        "imatrix": "llama-imatrix",
        "split": "gguf-split llama-gguf-split",
        "embed": "embedding llama-embedding",
        "verify": "check checksum validate",
        "doctor": "status diagnose env system",
        "pull": "download get fetch install add",
        "warmup": "compile",
    }.items()
    for theirs in names.split()
}
LIST = "lepton --help lists the commands"
LACKING = {  # what Lepton does not do, and what to do instead
    name: (message, cure)
    for message, cure, names in (
        (
            "Lepton has no server: each command opens the model itself",
            "to talk: lepton chat",
            "serve server llama-server api daemon stop ps kill",
        ),
        (
            "Lepton leaves model files where they are",
            "to see where each is: lepton models --json",
            "cp copy mv push create",
        ),
        (
            "a downloaded model is removed by an option of `lepton models`",
            "type: lepton models --remove NAME",
            "rm remove delete uninstall",
        ),
        (
            "Lepton does not train models",
            "to add what was trained elsewhere: lepton merge-lora MODEL OUT --lora FILE",
            "finetune train",
        ),
    )
    for name in names.split()
}


class LeptonGroup(CommandGroup):
    """The group of all commands; suggests a command for anything else."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own = flags_of(self.get_params(ctx))
        if not (ctx.resilient_parsing or not args or args[0] in self.commands or args[0] in own):
            args = Guess(self.commands, own).meant(args)
        return super().parse_args(ctx, args)


@dataclass(frozen=True, slots=True)
class Guess:
    """Interprets a command line without a command. `own`: the program's own options."""

    commands: Mapping[str, Any]
    own: Mapping[str, Any]

    def meant(self, args: Sequence[str]) -> list[str]:
        """The command line that was meant, if it is safe to run. Raises UsageError otherwise."""
        typed, rest = args[0], args[1:]
        word = typed.lstrip("-") or typed
        if not rest and (typed == "-v" or word == "version"):
            return ["--version"]
        if word == "help" and rest[:1] == [name for name in rest if name in self.commands]:
            return [*rest, "--help"]
        if word == "help" and len(rest) == 1:
            near = self._near(rest[0])
            cure = f"type: lepton help {near}" if near else LIST
            raise UsageError(f"{rest[0]} is not a command", cure)
        if typed.startswith("-") and word not in (*self.commands, *OURS, *LACKING):
            raise self._without_command(args)
        raise self._not_a_command(typed, rest)

    def _not_a_command(self, typed: str, rest: Sequence[str]) -> UsageError:
        if names_model(typed) or ("/" in typed and os.path.isdir(typed)):
            resolve(typed)
            return UsageError(f"{typed} is a model, not a command", self._using(typed, rest))
        message = f"{shlex.quote(typed):.60} is not a command"
        words = _words(rest)
        sentence = len(words) > 1 and not names_model(words[0])
        known = None if sentence else self._known(typed.lstrip("-"), rest, message)
        if known is not None or not typed.strip():
            return known or UsageError("the command is empty", LIST)
        if not rest and os.path.isfile(typed):
            return UsageError(message, f"to ask about the file: {self._asking(['-f', typed])}")
        return UsageError(message, f"to ask a model: {self._asking([typed, *rest])}")

    def _using(self, model: str, rest: Sequence[str]) -> str:
        if not rest:
            return f"to talk: {_typed('chat', [model])}"
        if rest[0] in self.commands:
            return f"the command comes first: {_typed(rest[0], [model, *rest[1:]])}"
        return f"to ask it: {self._asking([model, *rest])}"

    def _known(self, word: str, rest: Sequence[str], message: str) -> UsageError | None:
        """The error for another program's command, or for a misspelt one."""
        if word in LACKING:
            return UsageError(*LACKING[word])
        near = self._near(word)
        if near is None:
            return None
        cure = _typed(near, [] if near == "models" else rest)
        return UsageError(message, f"Lepton's command is: {cure}")

    def _without_command(self, args: Sequence[str]) -> UsageError:
        talks = not set(INTERACTIVE.split()).isdisjoint(args)
        line = self._read("chat" if talks else "run", args)
        inner = next((word for word in line.words if word in self.commands), None)
        if inner is not None:
            cure = line.retyped(inner, [word for word in line.words if word != inner])
            return UsageError("the command comes first, before the options", f"type: {cure}")
        asks = line.words or {"-p", "--prompt", "-f", "--file"} & set(line.options)
        cure = line.retyped("chat", line.words) if talks or not asks else self._asking(args)
        return UsageError("there is no command before the options", f"type: {cure}")

    def _near(self, word: str) -> str | None:
        return OURS.get(word.lower()) or next(iter(nearest(word, self.commands)), None)

    def _asking(self, args: Sequence[str]) -> str:
        """A `lepton run` command with these words: a model (default: built-in) and a text."""
        line = self._read("run", args)
        words = line.words
        model = words[:1] if words and names_model(words[0]) else []
        text = words[len(model) :]
        named = model or {"-m", "--model"} & set(line.options) or self._default_model()
        start = model if named else [BUILTIN]
        return line.retyped("run", [*start, *([" ".join(text)] if text else [])])

    def _read(self, command: str, args: Sequence[str]) -> Line:
        """Parses the line with the options of `command`. Raises UsageError for unknown ones."""
        options = {**self.own, **flags_of(self.commands[command].params)}
        return read_line(command, args, options, foreign_in(command))

    def _default_model(self) -> bool:
        settings: Mapping[str, Any] = default_map(KnownSettings(self.commands))["run"]
        return bool(os.environ.get("LEPTON_MODEL") or settings.get("model"))


def _words(rest: Sequence[str]) -> list[str]:
    return [word for word in rest if not word.startswith("-")]


def _typed(command: str, words: Sequence[str]) -> str:
    return shlex.join(["lepton", command, *words])
