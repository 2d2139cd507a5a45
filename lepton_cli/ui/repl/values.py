"""The values of `/set`: one table; each value is read from and written to a dialogue."""

from collections.abc import Callable, Iterator
from dataclasses import Field, dataclass, replace
from functools import partial
from typing import Any, get_args

from lepton_cli.engine.decoding.generation import Generation, checked_variables
from lepton_cli.engine.library.suggestions import did_you_mean
from lepton_cli.engine.sampling.sampler import Sampling, parse_samplers
from lepton_cli.engine.sampling.setting import Setting, settings_of
from lepton_cli.ui.arguments.options.chat import ReasoningMode
from lepton_cli.ui.arguments.prompt import expand_escapes
from lepton_cli.ui.repl.dialogue import Dialogue
from lepton_cli.ui.terminal.theme import Theme
from quant.errors import UsageError

NONE = "none"
DEFAULT = "default"
SWITCH = {"on": True, "off": False}


@dataclass(frozen=True, slots=True)
class Value:
    """A value of `/set`; `write` raises UsageError for invalid text."""

    name: str
    read: Callable[[Dialogue], str]
    write: Callable[[Dialogue, str], None]
    default: str
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()

    def set(self, dialogue: Dialogue, text: str) -> None:
        """Sets the value. Raises UsageError with an example for invalid text."""
        try:
            self.write(dialogue, self.default if text == DEFAULT else text)
        except UsageError as error:
            example = f"for example: /set {self.name} {self.default}"
            raise UsageError(error.message, error.hint or example) from error


def find_value(word: str) -> Value:
    """The value of a name or alias, with - or _. Raises UsageError with similar names."""
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


def _choice(text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        raise UsageError(f"{text!r} is none of {', '.join(choices)}")
    return text


def _count(text: str) -> int | None:
    count = -1 if text == NONE else int(_number(text, int))
    return None if count < 0 else count


def _seed(text: str) -> int | None:
    return None if text in ("random", "-1") else int(_number(text, int))


def _variables(text: str) -> str:
    return checked_variables("" if text == NONE else text)


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


def _or(value: int | None, absent: str) -> str:
    return absent if value is None else str(value)


@dataclass(frozen=True, slots=True)
class Form:
    """How a setting is formatted and parsed. `read` raises UsageError."""

    show: Callable[[Any], str]
    read: Callable[[str], Any]
    choices: tuple[str, ...] = ()


OWN_FORMS = {
    "samplers": Form(";".join, parse_samplers),
    "seed": Form(lambda seed: _or(seed, "random"), _seed),
    "chat_template_kwargs": Form(lambda text: text or NONE, _variables),
}


def _form(each: Field[Any]) -> Form:
    """The form of a setting: its own, or that of its default's type."""
    if each.name in OWN_FORMS:
        return OWN_FORMS[each.name]
    match each.default:
        case bool():
            return Form(_switch, lambda text: SWITCH[_choice(text, tuple(SWITCH))], tuple(SWITCH))
        case int() | float():
            return Form("{:g}".format, partial(_number, kind=type(each.default)))
        case str():
            choices = get_args(each.type)
            if not choices:
                return Form(lambda text: text or NONE, lambda text: "" if text == NONE else text)
            return Form(str, partial(_choice, choices=choices), choices)
        case tuple():
            return Form(
                lambda texts: " ".join(map(repr, texts)) or NONE,
                lambda text: () if text == NONE else (expand_escapes(text, each.name),),
            )
        case _:
            return Form(lambda count: _or(count, NONE), _count)


def setting_values(
    owner: type[Sampling] | type[Generation],
    find: Callable[[Dialogue], Sampling | Generation],
    change: Callable[..., None],
) -> Iterator[Value]:
    """The values for the settings of `owner`, numbers first; `find` gets the instance."""
    for each, about in sorted(settings_of(owner), key=lambda pair: pair[1].limits is None):
        if about.slash_set:
            yield _setting_value(each, about, find, change)


def _setting_value(
    each: Field[Any],
    about: Setting,
    find: Callable[[Dialogue], Sampling | Generation],
    change: Callable[..., None],
) -> Value:
    form, name = _form(each), each.name
    return Value(
        name,
        lambda dialogue: form.show(getattr(find(dialogue), name)),
        lambda dialogue, text: change(dialogue, **{name: form.read(text)}),
        form.show(each.default),
        (*about.aliases, *about.set_aliases),
        form.choices,
    )


VALUES = (
    *setting_values(Sampling, lambda d: d.session.generation.sampling, _change_sampling),
    *setting_values(Generation, lambda d: d.session.generation, _change),
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
