"""Makes a constraint from the options for the form of the answer."""

import json
from collections.abc import Sequence

from lepton_cli.engine.constraints.constraint import Constraint, find_constraint
from lepton_cli.ui.arguments.options.answer import AnswerOptions
from lepton_cli.ui.arguments.text_values import one_text
from quant.errors import UsageError


def constraint_of(answer: AnswerOptions) -> Constraint | None:
    """The constraint. Raises UsageError for more than one, or an unreadable file."""
    return find_constraint(
        schema_check=answer.schema_check,
        json_schema=one_text("--json-schema", answer.json_schema, answer.json_schema_file),
        regex=answer.regex,
        choices=None if answer.choices is None else _choices(answer.choices),
        grammar=one_text("--grammar", answer.grammar, answer.grammar_file),
    )


def check_form(answer: AnswerOptions) -> None:
    """Raises UsageError for an invalid constraint, before the model is loaded."""
    constraint = constraint_of(answer)
    if constraint:
        from lepton_cli.engine.constraints.grammars import (
            prepare,  # slow to import, and rarely needed
        )

        prepare(constraint)


def _choices(given: Sequence[str]) -> list[str]:
    """`yes,no`, or a JSON array for choices with commas; the flag may be repeated."""
    return [choice for text in given for choice in _listed(text)]


def _listed(text: str) -> list[str]:
    if not text.lstrip().startswith("["):
        return [choice.strip() for choice in text.split(",")]
    try:
        listed: list[str] = json.loads(text)
    except (ValueError, RecursionError) as error:
        hint = 'like --choices yes,no or --choices \'["Yes, please", "No"]\''
        raise UsageError(f"--choices {text!r:.60} is not a JSON array: {error}", hint) from error
    return listed
