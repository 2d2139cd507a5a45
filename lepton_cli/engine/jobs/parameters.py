"""A row's own parameters: how the answer to it is made where it differs from the others."""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.sampling.sampler import Sampling, parse_samplers
from quant.errors import UsageError

NAMES = {  # what flags and other tools call a setting -> our name
    "temp": "temperature",
    "typical": "typical_p",
    "top_nsigma": "top_n_sigma",
    "dynatemp_exp": "dynatemp_exponent",
    "repetition_penalty": "repeat_penalty",
    "max_completion_tokens": "max_tokens",
    "n_predict": "max_tokens",
}
LIMITS = ("max_tokens", "stop", "ignore_eos")
SAMPLING = {each.name: each.default for each in fields(Sampling) if each.name != "min_keep"}
KNOWN = frozenset([*SAMPLING, *NAMES, *LIMITS])
Given = Mapping[str, Plain]


def own_generation(base: Generation, given: Given) -> Generation:
    """`base` with what a row says of it; raises UsageError for a value that cannot be.

    A text, as all values of a CSV are, counts as the number that it spells.
    """
    values: dict[str, Any] = {}
    for name, value in given.items():
        ours = NAMES.get(name, name)
        if ours in values:
            raise UsageError(f"{name} is given twice, under two names")
        values[ours] = READERS[ours](ours, value)
    limits = {name: values.pop(name) for name in LIMITS if name in values}
    return replace(base, **limits, sampling=replace(base.sampling, **values))


def _number(name: str, value: Plain) -> Plain:
    kind = int if isinstance(SAMPLING.get(name, 0), int) or name == "seed" else float
    return _spelled(name, value, kind)


def _spelled(name: str, value: Plain, kind: type[int] | type[float]) -> Plain:
    if not isinstance(value, str):
        return value
    try:
        return kind(value)
    except ValueError as error:
        wanted = "a whole number" if kind is int else "a number"
        raise UsageError(f"{name} is {value!r}: it must be {wanted}") from error


def _seed(name: str, value: Plain) -> Plain:
    """-1: a fresh one, as with --seed."""
    seed = _spelled(name, value, int)
    return None if seed == -1 else seed


def _tokens(name: str, value: Plain) -> int | None:
    """-1: until the end of the text, as with --predict."""
    count = _spelled(name, value, int)
    if isinstance(count, bool) or not isinstance(count, int) or count < -1:
        raise UsageError(f"{name} is {value!r}: it must be a whole number, -1 or more")
    return None if count == -1 else count


def _switch(name: str, value: Plain) -> bool:
    words: dict[Plain, bool] = {"true": True, "1": True, "false": False, "0": False}
    found = words.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise UsageError(f"{name} is {value!r}: it must be true or false")
    return found


def _texts(name: str, value: Plain) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(text and isinstance(text, str) for text in texts):
        raise UsageError(f"{name} is {value!r}: it must be a text, or a list of texts")
    return tuple(map(str, texts))


def _samplers(name: str, value: Plain) -> tuple[str, ...]:
    return parse_samplers(value) if isinstance(value, str) else _texts(name, value)


def _biases(name: str, value: Plain) -> tuple[tuple[int, float], ...]:
    """OpenAI's form: {"15043": 1.5}; -100 bans there, and here it is as good as that."""
    pairs = value.items() if isinstance(value, dict) else [(value, None)]
    try:
        return tuple((int(str(token)), float(str(bias))) for token, bias in pairs)
    except ValueError as error:
        message = f'{name} is {value!r}: it must be like {{"15043": -100}}, token ids and numbers'
        raise UsageError(message) from error


READERS: dict[str, Callable[[str, Plain], Any]] = {
    **dict.fromkeys(SAMPLING, _number),
    "seed": _seed,
    "max_tokens": _tokens,
    "stop": _texts,
    "ignore_eos": _switch,
    "samplers": _samplers,
    "dry_sequence_breakers": _texts,
    "logit_bias": _biases,
}
"""Setting -> how its value is read; ranges are Sampling's to check."""
