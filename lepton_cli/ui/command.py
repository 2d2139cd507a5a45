"""How a command reads its words: unknown flags get one clear line, and help comes in sections."""

import re
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import typer.core

from lepton_cli.engine.spelling import did_you_mean
from lepton_cli.ui.llamacpp import FOREIGN, FOREIGN_IN_CHAT, SPELLINGS, Foreign
from lepton_cli.ui.notes import note
from quant.errors import UsageError

OPTIONAL = -1  # one word may follow the flag
ATTACHED = re.compile(r"(-[A-Za-z])(-?\d.*)")  # -n128, -t4


class Command(typer.core.TyperCommand):
    """Flags are whole words, as in llama.cpp: `-sys` is one flag, never `-s` with a value `ys`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:
            foreign = FOREIGN_IN_CHAT if self.name == "chat" else FOREIGN
            args = known_words(args, self._arities(ctx), foreign)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                title = getattr(parameter, "rich_help_panel", None) or "Options"
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)

    def _arities(self, ctx: Any) -> dict[str, int]:
        """How many words follow each flag."""
        arities: dict[str, int] = {}
        for option in self.get_params(ctx):
            if isinstance(option, typer.core.TyperOption):
                words = 0 if option.is_flag or option.count else option.nargs
                words = OPTIONAL if (option.metavar or "").startswith("[") else words
                arities |= dict.fromkeys([*option.opts, *option.secondary_opts], words)
        return arities


def known_words(
    args: Sequence[str], arities: Mapping[str, int], foreign: Mapping[str, Foreign]
) -> list[str]:
    """The words that are ours. llama.cpp's other flags are left out or refused, by their table.

    Raises UsageError for a flag that nobody knows.
    """
    words, known = deque(args), list[str]()
    while words:
        word = words.popleft()
        if word == "--":
            return [*known, word, *words]
        if not word.startswith("-") or word == "-":
            known.append(word)
            continue
        flag, value = _split(word, arities)
        if value is not None:
            words.appendleft(value)
        if flag in arities and arities[flag] == OPTIONAL:
            follows = value is not None or (words and not words[0].startswith("-"))
            known += [flag, words.popleft() if follows else ""]
        elif flag in arities:
            known.append(flag)
            known += [words.popleft() for _ in range(min(arities[flag], len(words)))]
        elif flag in foreign:
            _pass_over(flag, foreign[flag], words)
        else:
            raise UsageError(f"unknown option {flag}", _nearest(flag, arities))
    return known


def _split(word: str, arities: Mapping[str, int]) -> tuple[str, str | None]:
    """`--top_k=40` and `-n128` taken apart; underscores are dashes, as in llama.cpp."""
    attached = ATTACHED.fullmatch(word)
    if attached and arities.get(attached[1]):
        return attached[1], attached[2]
    flag, equals, value = word.partition("=")
    if flag.startswith("--"):
        flag = flag.replace("_", "-")
    if equals and not arities.get(flag, 1):
        raise UsageError(f"{flag} takes no value, but is given {value!r}")
    return flag, value if equals else None


def _pass_over(flag: str, foreign: Foreign, words: deque[str]) -> None:
    if foreign.verdict == "refused":
        raise UsageError(f"{flag} is an option of llama.cpp that Lepton lacks", foreign.reason)
    if words and (foreign.values or words[0] in foreign.choices):
        words.popleft()
    if foreign.verdict == "ignored":
        note(f"{flag} is ignored: {foreign.reason}")


def _nearest(flag: str, flags: Collection[str]) -> str:
    if flag in SPELLINGS:
        return f"here it is {SPELLINGS[flag]}"
    long = [known for known in flags if known.startswith("--")]
    near = did_you_mean("--" + flag.lstrip("-"), long) or did_you_mean(flag, flags)
    return near or "lepton COMMAND --help lists the options"
