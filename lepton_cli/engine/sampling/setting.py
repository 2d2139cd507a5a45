"""Settings: fields of `Sampling` or `Generation` whose metadata says where they are listed.

`--json`, the audit log, a batch's fingerprint and columns, and `/set` are generated from it, so a
new setting appears in all of them by its declaration.
"""

from collections.abc import Callable, Iterator
from dataclasses import Field, dataclass, field, fields
from typing import Any, TypeVar

from lepton_cli.engine.library.json_values import Plain, plain
from quant.errors import UsageError

T = TypeVar("T")
KEY = "setting"  # in a field's metadata
LARGE, SMALL = 3.4e38, 1e-30  # float32's range, as in llama.cpp: products of two fit in float64


@dataclass(frozen=True, slots=True)
class Setting:
    """The metadata of a field, beside its name, type and default."""

    changes_answer: bool = True  # it is part of records and of a batch's fingerprint
    column: bool = True  # a batch's row may set it
    slash_set: bool = True  # a chat's /set shows and changes it
    limits: tuple[float, float] | None = None  # smallest and largest number
    aliases: tuple[str, ...] = ()  # its names in flags and other tools
    set_aliases: tuple[str, ...] = ()  # names for /set only: such columns are the user's data
    written: Callable[[Any], Plain] = plain  # converts its value for a record


def setting(default: T, about: Setting) -> T:
    """A dataclass field that is a setting."""
    return field(default=default, metadata={KEY: about})


def settings_of(owner: Any) -> Iterator[tuple[Field[Any], Setting]]:
    """The settings of a dataclass, or of an instance, in the order of their declarations."""
    return ((each, each.metadata[KEY]) for each in fields(owner) if KEY in each.metadata)


def aliases(owner: Any) -> dict[str, str]:
    """Other name -> the field's name."""
    return {alias: each.name for each, about in settings_of(owner) for alias in about.aliases}


def record(owner: Any) -> dict[str, Plain]:
    """The settings that an answer depends on, by name, as values for JSON."""
    return {
        each.name: about.written(getattr(owner, each.name))
        for each, about in settings_of(owner)
        if about.changes_answer
    }


def changed(owner: Any) -> dict[str, Plain]:
    """The part of `record` that differs from the defaults."""
    default = {each.name: each.default for each, _ in settings_of(owner)}
    return {
        name: value
        for name, value in record(owner).items()
        if getattr(owner, name) != default[name]
    }


def check_limits(owner: Any) -> None:
    """Raises UsageError for a number outside its limits, or not an integer where needed."""
    for each, about in settings_of(owner):
        if about.limits:
            value, whole = getattr(owner, each.name), isinstance(each.default, int)
            check_number(each.name, value, about.limits, whole=whole)


def check_number(name: str, value: float, limits: tuple[float, float], *, whole: bool) -> None:
    """Raises UsageError with the value and the allowed range."""
    low, high = limits
    right_type = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not (right_type and low <= value <= high):  # also false for NaN
        kind = "a whole number" if whole else "a finite number"
        raise UsageError(f"{name} is {value!r}: it must be {kind}{_range_text(low, high)}")


def _range_text(low: float, high: float) -> str:
    if high == LARGE:
        return {-LARGE: "", SMALL: " above 0"}.get(low, f", {low} or more")
    return f", at most {high}" if low == -LARGE else f" from {low} to {high}"
