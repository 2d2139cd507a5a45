"""The options that commands share, in groups: each group is one record, declared once.

Their names and short names are llama.cpp's. An option of sampling that was not given is None, so
that the model file's own advice can come after flag, variable and config, and before the default.
"""

import functools
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal

import typer

Backend = Literal["auto", "cpu", "cuda", "reference"]
GPU_LAYERS = ("--gpu-layers", "-ngl", "--n-gpu-layers")
KVType = Literal["f16", "f32", "q8_0"]
ReasoningMode = Literal["show", "hide", "stderr"]
MOST_THREADS = 1024
MODEL_HELP = "A GGUF file, or a name that `lepton models` lists."
Overflow = Literal["error", "drop-old", "middle", "shift"]


def section(title: str) -> Callable[..., Any]:
    """`typer.Option` for one section of the help."""
    return functools.partial(typer.Option, rich_help_panel=title, show_envvar=False)


_model = section("Model")
_prompt = section("Prompt")
_answer = section("Answer")
_form = section("Form of the answer (thoughts are free; exit 6 where it was cut before)")
_sampling = section("Sampling")
_output = section("Output")


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which model, and how it is run."""

    model: Annotated[
        str | None, _model("--model", "-m", metavar="MODEL", help="A GGUF file, or an alias.")
    ] = None
    model_draft: Annotated[
        str | None,
        _model(
            *("--model-draft", "-md"),
            metavar="MODEL",
            help="A small model of the same family that guesses ahead.",
        ),
    ] = None
    backend: Annotated[
        Backend | None,
        _model("--backend", help="What computes; auto: a GPU where one can be used [auto]."),
    ] = None
    gpu_layers: Annotated[
        str,
        _model(
            *GPU_LAYERS,
            metavar="N|auto|all",
            help="The last N layers are on the GPU; auto: as many as fit; 0: none.",
        ),
    ] = "auto"
    threads: Annotated[
        int,
        _model(
            *("--threads", "-t"),
            metavar="N",
            min=-1,
            max=MOST_THREADS,
            help="Threads; -1: the physical cores that we may use.",
        ),
    ] = -1
    ctx_size: Annotated[
        int,
        _model("--ctx-size", "-c", metavar="N", help="Context in tokens; 0: the model's length."),
    ] = 0
    cache_type_k: Annotated[
        KVType, _model("--cache-type-k", "-ctk", help="Type of the cached keys.")
    ] = "f16"
    cache_type_v: Annotated[
        KVType, _model("--cache-type-v", "-ctv", help="Type of the cached values.")
    ] = "f16"
    audit: Annotated[
        str | None,
        section("Options")(
            "--audit", metavar="FILE", help="Append each prompt, answer and its settings to FILE."
        ),
    ] = None
    ubatch_size: Annotated[
        int, _model("--ubatch-size", "-ub", metavar="N", min=1, help="Tokens a pass of the prompt.")
    ] = 256
    prefix_cache: Annotated[
        float,
        _model(
            "--prefix-cache",
            metavar="GB",
            min=0,
            help="Disk for beginnings of prompts that were read; 0: off.",
        ),
    ] = 2.0
    verbose: Annotated[
        bool, section("Options")("--verbose", "-v", help="Say on stderr what runs, and how fast.")
    ] = False


@dataclass(frozen=True, slots=True)
class Words:
    """What stands on the command line without a flag."""

    first: Annotated[str | None, typer.Argument(metavar="MODEL", help=MODEL_HELP)] = None
    rest: Annotated[
        list[str] | None, typer.Argument(metavar="[PROMPT]", help="The text, as it is (see -p).")
    ] = None


@dataclass(frozen=True, slots=True)
class PromptOptions:
    """Where the words come from."""

    prompt: Annotated[
        str | None,
        _prompt("--prompt", "-p", metavar="TEXT", help=r"The prompt; \n and \t are expanded."),
    ] = None
    file: Annotated[
        list[str] | None,
        _prompt("--file", "-f", metavar="FILE", help="Text that comes before it; - is stdin."),
    ] = None
    no_stdin: Annotated[bool, _prompt("--no-stdin", help="Leave stdin alone.")] = False
    escape: Annotated[
        bool,
        _prompt("--escape/--no-escape", "-e", help=r"Expand \n, \t, \\, \xHH ... in -p and -r."),
    ] = True


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What one run makes of the prompt, and what it prints."""

    raw: Annotated[
        bool,
        _prompt(
            *("--raw", "-no-cnv", "--no-conversation"),
            help="Complete the prompt as it is, without the chat template.",
        ),
    ] = False
    parse_special: Annotated[
        bool,
        _prompt("--parse-special", help="With --raw: <|...|> in the prompt are special tokens."),
    ] = False
    candidates: Annotated[
        int,
        _output("--candidates", metavar="N", min=1, max=32, help="Print N different answers."),
    ] = 1
    beams: Annotated[
        int,
        _output("--beams", metavar="N", min=0, max=32, help="Search the likeliest; 0: sample."),
    ] = 0
    logprobs: Annotated[
        int | None,
        _output(
            "--logprobs",
            metavar="K",
            min=0,
            max=100,
            help="With --json: each token's log-probability, and the K likeliest beside it.",
        ),
    ] = None
    json: Annotated[bool, _output("--json", help="Print one JSON object at the end.")] = False
    jsonl: Annotated[bool, _output("--jsonl", help="Print a JSON object for each event.")] = False


@dataclass(frozen=True, slots=True)
class ReplOptions:
    """How a chat begins, and what it keeps."""

    prompt: Annotated[
        str | None,
        _prompt("--prompt", "-p", metavar="TEXT", help=r"Say this first; \n and \t are expanded."),
    ] = None
    escape: Annotated[
        bool, _prompt("--escape/--no-escape", "-e", help="Expand escapes in -p and -r.")
    ] = True
    single_turn: Annotated[
        bool, _prompt("--single-turn", "-st", help="Leave after one answer.")
    ] = False
    load: Annotated[
        str | None, _prompt("--load", metavar="FILE", help="Go on with a saved chat.")
    ] = None
    resume: Annotated[
        str | None,
        _prompt("--resume", metavar="[NAME]", help="Go on with the latest chat, or that one."),
    ] = None
    history: Annotated[
        bool,
        _prompt(
            *("--history/--no-history", "--save/--no-save"),
            help="Keep the chat for --resume, and what is typed for the next one.",
        ),
    ] = True
    plain: Annotated[
        bool, _output("--plain", help="No markdown, no redrawing: for screen readers.")
    ] = False


@dataclass(frozen=True, slots=True)
class ConversationOptions:
    """How the words become a conversation."""

    system_prompt: Annotated[
        str | None, _prompt("--system-prompt", "-sys", metavar="TEXT", help="The system prompt.")
    ] = None
    system_prompt_file: Annotated[
        str | None,
        _prompt("--system-prompt-file", "-sysf", metavar="FILE", help="The same from a file."),
    ] = None
    chat_template: Annotated[
        str | None,
        _prompt("--chat-template", metavar="TEMPLATE", help="A name or Jinja, not the file's own."),
    ] = None
    chat_template_file: Annotated[
        str | None, _prompt("--chat-template-file", metavar="FILE", help="The same from a file.")
    ] = None
    think: Annotated[
        bool, _prompt("--think/--no-think", help="Let the model think, where it can.")
    ] = True
    reasoning: Annotated[
        ReasoningMode | None,
        _output("--reasoning", help="Where thoughts go [chat shows them, run: stderr]."),
    ] = None


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """When an answer ends, and what form it must have."""

    predict: Annotated[
        int,
        _answer(
            *("--predict", "-n", "--n-predict"),
            metavar="N",
            help="At most N tokens; -1: until the end of the text or of the context.",
        ),
    ] = -1
    reverse_prompt: Annotated[
        list[str] | None,
        _answer("--reverse-prompt", "-r", metavar="TEXT", help="Stop before TEXT; repeatable."),
    ] = None
    ignore_eos: Annotated[bool, _answer("--ignore-eos", help="Go on past the end of the text.")] = (
        False
    )
    overflow: Annotated[
        Overflow, _answer("--overflow", help="What to do when the context is too small.")
    ] = "error"
    ban: Annotated[
        list[str] | None,
        _answer("--ban", metavar="TEXT", help="Never say TEXT; repeatable."),
    ] = None
    draft_max: Annotated[
        int,
        _answer(
            *("--draft-max", "--draft", "--draft-n"),
            metavar="N",
            min=0,
            help="Guess up to N tokens ahead; 0: none. It changes the speed alone.",
        ),
    ] = 15
    draft_p_min: Annotated[
        float,
        _answer(
            "--draft-p-min",
            metavar="P",
            min=0,
            max=1,
            help="A draft model stops guessing below it.",
        ),
    ] = 0.75
    json_schema: Annotated[
        str | None,
        _form("--json-schema", "-j", metavar="SCHEMA", help="JSON that satisfies this schema."),
    ] = None
    json_schema_file: Annotated[
        str | None,
        _form("--json-schema-file", "-jf", metavar="FILE", help="The same from a file."),
    ] = None
    schema_check: Annotated[
        bool,
        _form(
            "--schema-check",
            help="Check answers for what generation cannot enforce of a schema, do not refuse it.",
        ),
    ] = False
    regex: Annotated[
        str | None, _form("--regex", metavar="REGEX", help="A text that matches as a whole.")
    ] = None
    choices: Annotated[
        list[str] | None,
        _form("--choices", metavar="A,B,...", help="One of these; or a JSON array of texts."),
    ] = None
    grammar: Annotated[
        str | None, _form("--grammar", metavar="GBNF", help="A text of llama.cpp's grammar.")
    ] = None
    grammar_file: Annotated[
        str | None, _form("--grammar-file", metavar="FILE", help="The same from a file.")
    ] = None


def _number(flag: str, text: str, *aliases: str) -> Any:
    return _sampling(flag, *aliases, metavar="X", help=text)


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """How the next token is chosen."""

    seed: Annotated[
        int | None, _sampling("--seed", "-s", metavar="N", help="-1: a fresh one each time.")
    ] = None
    temp: Annotated[
        float | None,
        _number("--temp", "Temperature; 0: the likeliest [0.8].", "--temperature"),
    ] = None
    top_k: Annotated[int | None, _number("--top-k", "Of the K likeliest; 0: off [40].")] = None
    top_p: Annotated[float | None, _number("--top-p", "Nucleus; 1: off [0.95].")] = None
    min_p: Annotated[float | None, _number("--min-p", "At least X times the best [0.05].")] = None
    typical: Annotated[
        float | None, _number("--typical", "Locally typical; 1: off [1].", "--typical-p")
    ] = None
    top_nsigma: Annotated[
        float | None, _number("--top-nsigma", "Within N deviations; -1: off [-1].", "--top-n-sigma")
    ] = None
    xtc_probability: Annotated[float | None, _number("--xtc-probability", "0: off [0].")] = None
    xtc_threshold: Annotated[float | None, _number("--xtc-threshold", "[0.1]")] = None
    repeat_last_n: Annotated[
        int | None, _number("--repeat-last-n", "Tokens that the penalties look at [64].")
    ] = None
    repeat_penalty: Annotated[float | None, _number("--repeat-penalty", "1: off [1].")] = None
    presence_penalty: Annotated[float | None, _number("--presence-penalty", "0: off [0].")] = None
    frequency_penalty: Annotated[float | None, _number("--frequency-penalty", "0: off [0].")] = None
    dry_multiplier: Annotated[float | None, _number("--dry-multiplier", "0: off [0].")] = None
    dry_base: Annotated[float | None, _number("--dry-base", "[1.75]")] = None
    dry_allowed_length: Annotated[int | None, _number("--dry-allowed-length", "[2]")] = None
    dry_penalty_last_n: Annotated[int | None, _number("--dry-penalty-last-n", "[64]")] = None
    dry_sequence_breaker: Annotated[
        list[str] | None,
        _sampling("--dry-sequence-breaker", metavar="TEXT", help="Repeatable; none: no breakers."),
    ] = None
    dynatemp_range: Annotated[float | None, _number("--dynatemp-range", "0: off [0].")] = None
    dynatemp_exp: Annotated[float | None, _number("--dynatemp-exp", "[1]")] = None
    mirostat: Annotated[int | None, _number("--mirostat", "0: off, 1, 2 [0].")] = None
    mirostat_lr: Annotated[float | None, _number("--mirostat-lr", "Learning rate [0.1].")] = None
    mirostat_ent: Annotated[float | None, _number("--mirostat-ent", "Target entropy [5].")] = None
    adaptive_target: Annotated[float | None, _number("--adaptive-target", "-1: off [-1].")] = None
    adaptive_decay: Annotated[float | None, _number("--adaptive-decay", "[0.9]")] = None
    samplers: Annotated[
        str | None, _sampling("--samplers", metavar="A;B;...", help="The chain by names.")
    ] = None
    sampling_seq: Annotated[
        str | None,
        _sampling("--sampling-seq", "--sampler-seq", metavar="edskypmxt", help="By letters."),
    ] = None
    logit_bias: Annotated[
        list[str] | None,
        _sampling(
            *("--logit-bias", "-l"),
            metavar="ID+X|TEXT-X",
            help="For a token id, or all tokens of a text; -inf: never. Repeatable.",
        ),
    ] = None


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command with each parameter that is a group of options spelled out as those options."""
    hints = typing.get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}

    def spelled(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        command(**values)

    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
        parameters += _options(groups[name]) if name in groups else own
    spelled.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    spelled.__doc__, spelled.__name__ = command.__doc__, command.__name__
    return spelled


def _options(group: Any) -> list[inspect.Parameter]:
    hints = typing.get_type_hints(group, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(field.name, keyword, default=field.default, annotation=hints[field.name])
        for field in fields(group)
    ]
