"""How long an answer is, what ends it, and its form."""

from dataclasses import dataclass
from typing import Annotated, Literal

from lepton_cli.ui.arguments.options.groups import section

Overflow = Literal["error", "drop-old", "middle", "shift"]

_answer = section("Answer")
_form = section("Form of the answer (reasoning is free; exit code 6 if it is cut short)")

DraftMaxFlag = Annotated[
    int,
    _answer(
        *("--draft-max", "--draft", "--draft-n", "--spec-draft-n-max"),
        metavar="N",
        min=0,
        help="Speculative decoding: guess up to N tokens ahead; 0: off. It only changes speed.",
    ),
]
DraftPMinFlag = Annotated[
    float,
    _answer(
        *("--draft-p-min", "--spec-draft-p-min"),
        metavar="P",
        min=0,
        max=1,
        help="A draft model or next-token head stops guessing below this probability.",
    ),
]


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """When an answer ends, and the form that it must have."""

    predict: Annotated[
        int,
        _answer(
            *("--predict", "-n", "--n-predict"),
            metavar="N",
            help="Generate at most N tokens; -1: until the model ends or the context is full.",
        ),
    ] = -1
    reverse_prompt: Annotated[
        list[str] | None,
        _answer("--reverse-prompt", "-r", metavar="TEXT", help="Stop before TEXT. Repeatable."),
    ] = None
    ignore_eos: Annotated[
        bool, _answer("--ignore-eos", help="Ignore the end-of-text token and continue.")
    ] = False
    overflow: Annotated[
        Overflow,
        _answer("--overflow", help="What to do when the text does not fit into the context."),
    ] = "error"
    ban: Annotated[
        list[str] | None,
        _answer("--ban", metavar="TEXT", help="Never generate TEXT. Repeatable."),
    ] = None
    reasoning_budget: Annotated[
        int,
        _answer(
            "--reasoning-budget",
            metavar="N",
            min=-1,
            help="Think for at most N tokens, then answer; -1: any number, 0: do not think.",
        ),
    ] = -1
    reasoning_budget_message: Annotated[
        str,
        _answer("--reasoning-budget-message", metavar="TEXT", help="Ends a reasoning that is cut."),
    ] = ""
    draft_max: DraftMaxFlag = 15
    draft_p_min: DraftPMinFlag = 0.75
    json_schema: Annotated[
        str | None,
        _form(
            "--json-schema",
            "-j",
            metavar="SCHEMA",
            help="Answer in JSON that satisfies this schema.",
        ),
    ] = None
    json_schema_file: Annotated[
        str | None,
        _form("--json-schema-file", "-jf", metavar="FILE", help="The schema from a file."),
    ] = None
    schema_check: Annotated[
        bool,
        _form(
            "--schema-check",
            help="Accept a schema that cannot be fully enforced, and check the answer.",
        ),
    ] = False
    regex: Annotated[
        str | None,
        _form(
            "--regex",
            metavar="REGEX",
            help="Answer with text that matches this regex as a whole.",
        ),
    ] = None
    choices: Annotated[
        list[str] | None,
        _form(
            "--choices",
            metavar="A,B,...",
            help="Answer with one of these texts; may be a JSON array.",
        ),
    ] = None
    grammar: Annotated[
        str | None,
        _form(
            "--grammar",
            metavar="GBNF",
            help="Answer with text of this grammar (llama.cpp's GBNF).",
        ),
    ] = None
    grammar_file: Annotated[
        str | None, _form("--grammar-file", metavar="FILE", help="The grammar from a file.")
    ] = None
