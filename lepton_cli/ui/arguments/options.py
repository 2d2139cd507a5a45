"""The options that commands share, declared once in groups (one dataclass per group).

Their names and short names are llama.cpp's.
"""

import functools
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal

import typer

from lepton_cli.ui.arguments.completing import complete_chat, complete_model
from lepton_cli.ui.terminal.theme import Theme

Backend = Literal["auto", "cpu", "cuda", "reference"]
GPU_LAYERS = ("--gpu-layers", "-ngl", "--n-gpu-layers")
KVType = Literal["f16", "f32", "q8_0"]
ReasoningMode = Literal["show", "hide", "stderr"]
MAX_THREADS = 1024
MODEL_HELP = "A GGUF file, or a name that `lepton models` lists."
ONE_WORD = (
    "With a default model (LEPTON_MODEL, or `model` in the config file) a single word is the {}, "
    "unless it names a model."
)
Overflow = Literal["error", "drop-old", "middle", "shift"]


def section(title: str) -> Callable[..., Any]:
    """`typer.Option` for options in one section of the help."""
    return functools.partial(typer.Option, rich_help_panel=title)


_model = section("Model")
_prompt = section("Prompt")
_answer = section("Answer")
_form = section("Form of the answer (reasoning is free; exit code 6 if it is cut short)")
_output = section("Output")
Escape = Annotated[
    bool,
    _prompt("--escape/--no-escape", "-e", help=r"Expand escapes (\n, \t, \\, \xHH) in -p and -r."),
]


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which model to use, and how to run it."""

    model: Annotated[
        str | None,
        _model(
            *("--model", "-m"),
            metavar="MODEL",
            help="The model (instead of the argument MODEL).",
            autocompletion=complete_model,
        ),
    ] = None
    model_draft: Annotated[
        str | None,
        _model(
            *("--model-draft", "-md", "--spec-draft-model"),
            metavar="MODEL",
            help="A small model of the same family, for speculative decoding.",
            autocompletion=complete_model,
        ),
    ] = None
    spec_type: Annotated[
        str,
        _model(
            "--spec-type",
            metavar="TYPE[,TYPE...]",
            help="What guesses tokens for speculative decoding: none, ngram-simple (earlier text), "
            "draft-simple (-md), draft-mtp (the model's own next-token head), or auto.",
        ),
    ] = "auto"
    backend: Annotated[
        Backend | None,
        _model(
            "--backend", help="Where to compute; auto: a GPU if one can be used. [default: auto]"
        ),
    ] = None
    gpu_layers: Annotated[
        str,
        _model(
            *GPU_LAYERS,
            metavar="N|auto|all",
            help="Put the last N layers on the GPU; auto: as many as fit; 0: none.",
        ),
    ] = "auto"
    threads: Annotated[
        int,
        _model(
            *("--threads", "-t"),
            metavar="N",
            min=-1,
            max=MAX_THREADS,
            help="Number of threads; -1: one for each physical core.",
        ),
    ] = -1
    ctx_size: Annotated[
        int,
        _model(
            "--ctx-size",
            "-c",
            metavar="N",
            help="Context length in tokens; 0: as the model was trained.",
        ),
    ] = 0
    cache_type_k: Annotated[
        KVType, _model("--cache-type-k", "-ctk", help="Data type of the keys in the KV cache.")
    ] = "f16"
    cache_type_v: Annotated[
        KVType, _model("--cache-type-v", "-ctv", help="Data type of the values in the KV cache.")
    ] = "f16"
    audit: Annotated[
        str | None,
        section("Options")(
            "--audit",
            metavar="FILE",
            help="Append each prompt, its answer and the settings to FILE.",
        ),
    ] = None
    ubatch_size: Annotated[
        int, _model("--ubatch-size", "-ub", metavar="N", min=1, help="Prompt tokens per pass.")
    ] = 256
    prefix_cache: Annotated[
        float,
        _model(
            "--prefix-cache",
            metavar="GB",
            min=0,
            help="Disk space for the prompt cache, in GB; 0: no cache.",
        ),
    ] = 2.0
    ctx_checkpoints: Annotated[
        int,
        _model(
            "--ctx-checkpoints",
            "-ctxcp",
            "--swa-checkpoints",
            metavar="N",
            min=0,
            help="Checkpoints kept for a hybrid model's /undo and /retry, if memory allows.",
        ),
    ] = 32
    verbose: Annotated[
        bool, section("Options")("--verbose", "-v", help="Show details and speed on stderr.")
    ] = False


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


@dataclass(frozen=True, slots=True)
class ReplOptions:
    """How a chat begins, and what is saved."""

    prompt: Annotated[
        str | None,
        _prompt(
            "--prompt",
            "-p",
            metavar="TEXT",
            help=r"The first message; escapes such as \n are expanded.",
        ),
    ] = None
    escape: Escape = True
    single_turn: Annotated[
        bool, _prompt("--single-turn", "-st", help="End the chat after one answer.")
    ] = False
    load: Annotated[
        str | None,
        _prompt(
            "--load",
            metavar="NAME",
            help="Continue a chat, by its name or its file.",
            autocompletion=complete_chat,
        ),
    ] = None
    resume: Annotated[
        str | None,
        _prompt(
            "--resume",
            metavar="[NAME]",
            help="Continue the latest chat, or the one called NAME.",
            autocompletion=complete_chat,
        ),
    ] = None
    history: Annotated[
        bool,
        _prompt(
            *("--history/--no-history", "--save/--no-save"),
            help="Save the chat (for --resume) and the input history.",
        ),
    ] = True
    plain: Annotated[
        bool,
        _output("--plain", help="Plain text: no Markdown, no redrawing (for screen readers)."),
    ] = False


@dataclass(frozen=True, slots=True)
class ConversationOptions:
    """System prompt, chat template and reasoning."""

    system_prompt: Annotated[
        str | None, _prompt("--system-prompt", "-sys", metavar="TEXT", help="The system prompt.")
    ] = None
    system_prompt_file: Annotated[
        str | None,
        _prompt(
            "--system-prompt-file", "-sysf", metavar="FILE", help="The system prompt from a file."
        ),
    ] = None
    chat_template: Annotated[
        str | None,
        _prompt(
            "--chat-template",
            metavar="TEMPLATE",
            help="A template to use instead of the model's own: a name, or Jinja text.",
        ),
    ] = None
    chat_template_file: Annotated[
        str | None,
        _prompt("--chat-template-file", metavar="FILE", help="The template from a file."),
    ] = None
    think: Annotated[
        bool, _prompt("--think/--no-think", help="Let a reasoning model think before it answers.")
    ] = True
    chat_template_kwargs: Annotated[
        str | None,
        _prompt("--chat-template-kwargs", metavar="JSON", help="Variables for the template."),
    ] = None
    reasoning_effort: Annotated[
        str | None,
        _prompt("--reasoning-effort", metavar="LEVEL", help="How much to think: low, high, ..."),
    ] = None
    reasoning_preserve: Annotated[
        bool | None,
        _prompt(
            "--reasoning-preserve/--no-reasoning-preserve",
            help="Show a model the reasoning of its earlier answers.  [default: as its template]",
        ),
    ] = None
    reasoning: Annotated[
        ReasoningMode | None,
        _output(
            "--reasoning",
            help="Where to print the reasoning. [default: show in chat, stderr in run]",
        ),
    ] = None
    theme: Annotated[
        Theme, _output("--theme", help="Colours for this background; auto: ask the terminal.")
    ] = "auto"
    no_color: Annotated[bool, _output("--no-color", help="No colours, like --theme none.")] = False


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
    draft_max: Annotated[
        int,
        _answer(
            *("--draft-max", "--draft", "--draft-n", "--spec-draft-n-max"),
            metavar="N",
            min=0,
            help="Speculative decoding: guess up to N tokens ahead; 0: off. It only changes speed.",
        ),
    ] = 15
    draft_p_min: Annotated[
        float,
        _answer(
            *("--draft-p-min", "--spec-draft-p-min"),
            metavar="P",
            min=0,
            max=1,
            help="A draft model or next-token head stops guessing below this probability.",
        ),
    ] = 0.75
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


def expand_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Replaces each parameter that is a group of options by the options themselves."""
    hints = typing.get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}

    def expanded(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        command(**values)

    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
        parameters += _options(groups[name]) if name in groups else own
    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__doc__, expanded.__name__ = command.__doc__, command.__name__
    return expanded


def _options(group: Any) -> list[inspect.Parameter]:
    hints = typing.get_type_hints(group, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(field.name, keyword, default=field.default, annotation=hints[field.name])
        for field in fields(group)
    ]
