"""A row's own parameters, which override the batch's generation settings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, replace
from functools import partial
from typing import Any, get_args

from lepton_cli.engine.decoding.generation import Generation, checked_variables
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.sampling.sampler import Sampling, parse_samplers
from lepton_cli.engine.sampling.setting import aliases, settings_of
from quant.errors import UsageError

Given = Mapping[str, Plain]
Reader = Callable[[str, Plain], Any]
"""Converts a row's value for a setting; Sampling checks the ranges."""


def own_generation(base: Generation, given: Given) -> Generation:
    """`base` with a row's own parameters. Raises UsageError for an invalid value.

    Text is converted to numbers, since all values of a CSV are text.
    """
    values: dict[str, Any] = {}
    for name, value in given.items():
        ours = NAMES.get(name, name)
        if ours in values:
            raise UsageError(f"{name} is given twice, under two names")
        values[ours] = READERS[ours](ours, value)
    drawn = {name: values.pop(name) for name in SAMPLING if name in values}
    return replace(base, **values, sampling=replace(base.sampling, **drawn))


def readers(owner: type[Sampling] | type[Generation]) -> dict[str, Reader]:
    """A reader for each setting that a row may have."""
    return {each.name: _reader(each) for each, about in settings_of(owner) if about.column}


def _reader(each: Field[Any]) -> Reader:
    if each.name in OWN_FORMS:
        return OWN_FORMS[each.name]
    if choices := get_args(each.type) if isinstance(each.default, str) else ():
        return partial(_choice, choices=choices)
    return BY_TYPE[type(each.default)]


def _number(name: str, value: Plain, kind: type[int] | type[float]) -> Plain:
    if not isinstance(value, str):
        return value
    try:
        return kind(value)
    except ValueError as error:
        wanted = "a whole number" if kind is int else "a number"
        raise UsageError(f"{name} is {value!r}: it must be {wanted}") from error


def _seed(name: str, value: Plain) -> Plain:
    """-1: a random seed, as with --seed."""
    seed = _number(name, value, int)
    return None if seed == -1 else seed


def _count(name: str, value: Plain) -> int | None:
    """-1: no limit, as with --predict."""
    count = _number(name, value, int)
    if isinstance(count, bool) or not isinstance(count, int) or count < -1:
        raise UsageError(f"{name} is {value!r}: it must be a whole number, -1 or more")
    return None if count == -1 else count


def _switch(name: str, value: Plain) -> bool:
    words: dict[Plain, bool] = {"true": True, "1": True, "false": False, "0": False}
    found = words.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise UsageError(f"{name} is {value!r}: it must be true or false")
    return found


def _choice(name: str, value: Plain, choices: Sequence[str]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise UsageError(f"{name} is {value!r}: it must be one of {', '.join(choices)}")
    return value


def _text(name: str, value: Plain) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{name} is {value!r}: it must be a string")
    return value


def _variables(name: str, value: Plain) -> str:
    return checked_variables(value)


def _texts(name: str, value: Plain) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(text and isinstance(text, str) for text in texts):
        raise UsageError(f"{name} is {value!r}: it must be a string, or a list of strings")
    return tuple(map(str, texts))


def _samplers(name: str, value: Plain) -> tuple[str, ...]:
    return parse_samplers(value) if isinstance(value, str) else _texts(name, value)


def _biases(name: str, value: Plain) -> tuple[tuple[int, float], ...]:
    """OpenAI's form: {"15043": 1.5}; -100 in effect bans a token, here as there."""
    pairs = value.items() if isinstance(value, dict) else [(value, None)]
    try:
        return tuple((int(str(token)), float(str(bias))) for token, bias in pairs)
    except ValueError as error:
        message = f'{name} is {value!r}: it must be like {{"15043": -100}}, token ids and numbers'
        raise UsageError(message) from error


OWN_FORMS: dict[str, Reader] = {
    "seed": _seed,
    "samplers": _samplers,
    "logit_bias": _biases,
    "chat_template_kwargs": _variables,
}
BY_TYPE: dict[type, Reader] = {  # by the type of the default
    bool: _switch,
    int: partial(_number, kind=int),
    float: partial(_number, kind=float),
    str: _text,
    tuple: _texts,
    type(None): _count,
}
SAMPLING = readers(Sampling)
READERS = SAMPLING | readers(Generation)
NAMES = aliases(Sampling) | aliases(Generation)
KNOWN = frozenset([*READERS, *NAMES])
