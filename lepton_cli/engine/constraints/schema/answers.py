"""Checks a finished answer against its JSON schema, with jsonschema."""

import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any

import regex
from jsonschema import FormatChecker
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validator_for

from lepton_cli.engine.constraints.schema.patterns import portable_pattern
from lepton_cli.engine.library.json_values import refuse_constant

Keyword = Callable[[Validator, Any, Any, Any], Iterator[ValidationError] | None]


def problem_with(
    schema: Any, draft: str, text: str, *, formats: Collection[str] = ()
) -> str | None:
    """Why a text does not satisfy the schema, or None.

    `draft`: of a schema that does not name one. `formats`: those that generation does not enforce.
    """
    try:
        value = read_json(text)
        with localcontext() as context:
            context.prec = 2 * len(text) + 400  # digits that a multipleOf may need
            error = best_match(validator(schema, draft, formats).iter_errors(value))
    except (ValueError, RecursionError, InvalidOperation, re.error) as reason:
        return f"it is not valid JSON: {reason}"
    if error is None:
        return None
    where = f" at {written_pointer(error.absolute_path)}" if error.absolute_path else ""
    return f"{error.message:.200}{where}"


def validator(schema: Any, draft: str, formats: Collection[str] = ()) -> Validator:
    """A validator that supports OpenAPI's `nullable` and ECMAScript's patterns."""
    standard = validator_for(schema, default=validator_for({"$schema": draft}))
    keywords = {**standard.VALIDATORS, **OWN}
    known = extend(standard, {name: _or_null(check) for name, check in keywords.items()})
    return known(schema, format_checker=_formats(formats))


def read_json(text: str) -> Any:
    """Parses strict JSON with exact numbers. Raises ValueError, RecursionError."""
    return json.loads(
        text,
        parse_float=Decimal,
        parse_constant=refuse_constant,
        object_pairs_hook=_unique,
    )


def written_pointer(path: Sequence[str | int]) -> str:
    """A JSON pointer, as a fragment."""
    return "#" + "".join(pointer_to(str(key)) for key in path)


def pointer_to(key: str) -> str:
    """One step of a JSON pointer, escaped."""
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the key {twice!r} twice")
    return found


# --- keywords of our own -----------------------------------------------------------------------


def _or_null(check: Keyword) -> Keyword:
    """Lets null satisfy a nullable schema."""

    def checked(
        validator: Validator, value: Any, instance: Any, schema: Any
    ) -> Iterator[ValidationError]:
        if instance is not None or schema.get("nullable") is not True:
            yield from check(validator, value, instance, schema) or ()

    return checked


def _pattern(
    validator: Validator, value: Any, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not regex.search(portable_pattern(value), instance):
        yield ValidationError(f"{instance!r} does not match {value!r}")


def _pattern_properties(
    validator: Validator, value: Any, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    for pattern, part in value.items():
        found = regex.compile(portable_pattern(pattern))
        for name in filter(found.search, instance):
            yield from validator.descend(instance[name], part, path=name, schema_path=pattern)


def _additional_properties(
    validator: Validator, value: Any, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    patterns = [
        regex.compile(portable_pattern(each)) for each in schema.get("patternProperties", ())
    ]
    for name in instance.keys() - schema.get("properties", {}).keys():
        if any(pattern.search(name) for pattern in patterns):
            continue
        if value is False:
            yield ValidationError(f"the property {name!r} is not allowed")
        else:
            yield from validator.descend(instance[name], value, path=name)


OWN: dict[str, Keyword] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
}


# --- formats -----------------------------------------------------------------------------------


def _formats(others: Collection[str]) -> FormatChecker:
    """Checks what the grammar's format patterns do not: dates that do not exist."""
    checker = FormatChecker(formats=("ipv4", "ipv6", "uuid", *others))
    checker.checks("date", ValueError)(_has_a_day)
    checker.checks("date-time", ValueError)(_has_a_day)
    return checker


def _has_a_day(value: object) -> bool:
    return not isinstance(value, str) or date.fromisoformat(value[:10]) is not None
