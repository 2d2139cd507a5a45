"""What `/set` shows and changes: one table of values, each read from and written to a dialogue."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, get_args

from lepton_cli.engine.decoding.generation import Overflow
from lepton_cli.engine.library.suggestions import did_you_mean
from lepton_cli.engine.sampling.sampler import Sampling, parse_samplers
from lepton_cli.ui.arguments.options import ReasoningMode
from lepton_cli.ui.arguments.prompt import expand_escapes
from lepton_cli.ui.repl.dialogue import Dialogue
from lepton_cli.ui.terminal.theme import Theme
from quant.errors import UsageError

NONE = "none"
DEFAULT = "default"
SWITCH = {"on": True, "off": False}


@dataclass(frozen=True, slots=True)
class Value:
    """`write` raises UsageError for a text that it cannot take."""

    name: str
    read: Callable[[Dialogue], str]
    write: Callable[[Dialogue, str], None]
    default: str
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()

    def set(self, dialogue: Dialogue, text: str) -> None:
        """Raises UsageError, with a line that can be typed, for what the value cannot be."""
        try:
            self.write(dialogue, self.default if text == DEFAULT else text)
        except UsageError as error:
            example = f"for example: /set {self.name} {self.default}"
            raise UsageError(error.message, error.hint or example) from error


def find_value(word: str) -> Value:
    """By its name or an alias, with - or _. Raises UsageError with the nearest names."""
    wanted = word.lower().lstrip("-").replace("-", "_")
    for value in VALUES:
        if wanted in (value.name, *value.aliases):
            return value
    names = [name for value in VALUES for name in (value.name, *value.aliases)]
    raise UsageError(
        f"there is no {word!r} to set", did_you_mean(wanted, names) or "/set lists all"
    )


def _change_sampling(dialogue: Dialogue, **values: Any) -> None:
    generation = dialogue.session.generation
    sampling = replace(generation.sampling, **values)
    dialogue.session.generation = replace(generation, sampling=sampling)


def _change(dialogue: Dialogue, **values: Any) -> None:
    dialogue.session.generation = replace(dialogue.session.generation, **values)


def _number(text: str, kind: type[int] | type[float]) -> float:
    try:
        return kind(text)
    except ValueError as error:
        wanted = "a whole number" if kind is int else "a number"
        raise UsageError(f"{text!r} is not {wanted}") from error


def _numeric(name: str, default: float) -> Value:
    """A number of Sampling, which checks its range itself."""

    def write(dialogue: Dialogue, text: str) -> None:
        _change_sampling(dialogue, **{name: _number(text, type(default))})

    def read(dialogue: Dialogue) -> str:
        return f"{getattr(dialogue.session.generation.sampling, name):g}"

    return Value(name, read, write, f"{default:g}", ALIASES.get(name, ()))


ALIASES = {
    "temperature": ("temp",),
    "typical_p": ("typical",),
    "top_n_sigma": ("top_nsigma",),
    "dynatemp_exponent": ("dynatemp_exp",),
}


def _choice(text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        raise UsageError(f"{text!r} is none of {', '.join(choices)}")
    return text


def _set_max_tokens(dialogue: Dialogue, text: str) -> None:
    count = -1 if text == NONE else int(_number(text, int))
    _change(dialogue, max_tokens=None if count < 0 else count)


def _set_seed(dialogue: Dialogue, text: str) -> None:
    seed = None if text in ("random", "-1") else int(_number(text, int))
    _change_sampling(dialogue, seed=seed)


def _set_stop(dialogue: Dialogue, text: str) -> None:
    _change(dialogue, stop=() if text == NONE else (expand_escapes(text, "stop"),))


def _set_overflow(dialogue: Dialogue, text: str) -> None:
    _change(dialogue, overflow=_choice(text, get_args(Overflow)))


def _set_ignore_eos(dialogue: Dialogue, text: str) -> None:
    _change(dialogue, ignore_eos=SWITCH[_choice(text, tuple(SWITCH))])


def _set_thinking(dialogue: Dialogue, text: str) -> None:
    dialogue.session.thinking = SWITCH[_choice(text, tuple(SWITCH))]


def _set_reasoning(dialogue: Dialogue, text: str) -> None:
    chosen: Any = _choice(text, get_args(ReasoningMode))
    dialogue.reasoning = chosen


def _set_theme(dialogue: Dialogue, text: str) -> None:
    chosen: Any = _choice(text, get_args(Theme))
    dialogue.set_theme(chosen)


def _switch(value: bool) -> str:
    return "on" if value else "off"


VALUES = (
    *(
        _numeric(each.name, getattr(Sampling(), each.name))
        for each in fields(Sampling)
        if each.metadata
    ),
    Value(
        "samplers",
        lambda d: ";".join(d.session.generation.sampling.samplers),
        lambda d, text: _change_sampling(d, samplers=parse_samplers(text)),
        ";".join(Sampling().samplers),
    ),
    Value(
        "seed",
        lambda d: _or(d.session.generation.sampling.seed, "random"),
        _set_seed,
        "random",
    ),
    Value(
        "max_tokens",
        lambda d: _or(d.session.generation.max_tokens, NONE),
        _set_max_tokens,
        NONE,
        ("n", "predict", "n_predict", "num_predict"),
    ),
    Value(
        "stop",
        lambda d: " ".join(map(repr, d.session.generation.stop)) or NONE,
        _set_stop,
        NONE,
        ("reverse_prompt",),
    ),
    Value(
        "overflow",
        lambda d: d.session.generation.overflow,
        _set_overflow,
        "error",
        choices=get_args(Overflow),
    ),
    Value(
        "ignore_eos",
        lambda d: _switch(d.session.generation.ignore_eos),
        _set_ignore_eos,
        "off",
        choices=tuple(SWITCH),
    ),
    Value(
        "thinking",
        lambda d: _switch(d.session.thinking),
        _set_thinking,
        "on",
        ("think",),
        tuple(SWITCH),
    ),
    Value(
        "reasoning",
        lambda d: d.reasoning,
        _set_reasoning,
        "show",
        choices=get_args(ReasoningMode),
    ),
    Value("theme", lambda d: d.theme, _set_theme, "auto", choices=get_args(Theme)),
)


def _or(value: int | None, absent: str) -> str:
    return absent if value is None else str(value)
