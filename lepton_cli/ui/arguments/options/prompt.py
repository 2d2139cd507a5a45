"""Where the prompt comes from, and what `lepton run` does with it."""

from dataclasses import dataclass
from typing import Annotated

import typer

from lepton_cli.ui.arguments.completing import complete_model
from lepton_cli.ui.arguments.options.groups import section

MODEL_HELP = "A GGUF file, or a name that `lepton models` lists."
ONE_WORD = (
    "With a default model (LEPTON_MODEL, or `model` in the config file) a single word is the {}, "
    "unless it names a model."
)

_prompt = section("Prompt")
_output = section("Output")
Escape = Annotated[
    bool,
    _prompt("--escape/--no-escape", "-e", help=r"Expand escapes (\n, \t, \\, \xHH) in -p and -r."),
]


@dataclass(frozen=True, slots=True)
class PositionalArguments:
    """The positional arguments."""

    first: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help=MODEL_HELP, autocompletion=complete_model),
    ] = None
    rest: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PROMPT]",
            help=f"The prompt, taken literally (-p expands escapes). {ONE_WORD.format('prompt')}",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class PromptOptions:
    """Where the prompt comes from."""

    prompt: Annotated[
        str | None,
        _prompt(
            "--prompt", "-p", metavar="TEXT", help=r"The prompt; escapes such as \n are expanded."
        ),
    ] = None
    file: Annotated[
        list[str] | None,
        _prompt(
            "--file",
            "-f",
            metavar="FILE",
            help="Put the text of FILE before the prompt; -: stdin. Repeatable.",
        ),
    ] = None
    no_stdin: Annotated[bool, _prompt("--no-stdin", help="Do not read stdin.")] = False
    escape: Escape = True


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How `lepton run` uses the prompt, and what it prints."""

    raw: Annotated[
        bool,
        _prompt(
            *("--raw", "-no-cnv", "--no-conversation"),
            help="Complete the prompt itself, without the chat template.",
        ),
    ] = False
    parse_special: Annotated[
        bool,
        _prompt(
            "--parse-special",
            help="With --raw: read <|...|> in the prompt as special tokens, as llama.cpp does.",
        ),
    ] = False
    tools: Annotated[
        str | None,
        _prompt(
            "--tools",
            metavar="FILE",
            help="Tools that the model may call: a JSON list in OpenAI's form. If the answer is "
            "calls, each is printed as a line of JSON.",
        ),
    ] = None
    tool_choice: Annotated[
        str | None,
        _prompt(
            "--tool-choice",
            metavar="CHOICE",
            help="auto, none, required (the answer is calls), or the name of the tool to call.",
        ),
    ] = None
    candidates: Annotated[
        int,
        _output(
            "--candidates",
            metavar="N",
            min=1,
            max=32,
            help="Print N different answers (fewer if repeated draws find no more).",
        ),
    ] = 1
    extract: Annotated[
        bool,
        _output(
            "--extract", "-x", help="Print only the answer's first code block; none: exit code 6."
        ),
    ] = False
    extract_last: Annotated[
        bool,
        _output("--extract-last", "--xl", help="Print only the answer's last code block."),
    ] = False
    beams: Annotated[
        int,
        _output(
            "--beams",
            metavar="N",
            min=0,
            max=32,
            help="Print the N most likely answers (beam search); 0: sample one.",
        ),
    ] = 0
    logprobs: Annotated[
        int | None,
        _output(
            "--logprobs",
            metavar="K",
            min=0,
            max=100,
            help="With --json: add each token's log-probability and the K most likely tokens.",
        ),
    ] = None
    json: Annotated[
        bool, _output("--json", help="Print the answer, counts and timings as one JSON object.")
    ] = False
    jsonl: Annotated[
        bool,
        _output("--jsonl", help="Print a JSON object per piece of the answer, as it comes."),
    ] = False
