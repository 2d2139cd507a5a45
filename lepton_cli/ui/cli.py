"""The commands and their words; what each does is a module of its own, imported when it is needed.

Nothing here imports NumPy, Numba, rich or prompt-toolkit: `--help` must take a tenth of a second.
"""

import sys
from collections.abc import Callable
from typing import Annotated, Literal

import typer

from lepton_cli.ui.batch_options import BatchWords, ResultOptions, RowOptions
from lepton_cli.ui.bench_options import BenchOptions
from lepton_cli.ui.command import Command
from lepton_cli.ui.config import PREFIX, default_map, known_settings
from lepton_cli.ui.options import (
    AnswerOptions,
    ConversationOptions,
    ModelOptions,
    PromptOptions,
    ReplOptions,
    RunOptions,
    SamplingOptions,
    Words,
    grouped,
)
from lepton_cli.ui.prompt import gather
from lepton_cli.version import __version__
from quant.errors import UsageError

# they must work when the config file is wrong; a benchmark's figures must not depend on it
WITHOUT_SETTINGS = ("bench", "cache", "doctor", "inspect", "models", "warmup")
HELP = {"help_option_names": ["-h", "--help"]}
EPILOG = (
    f"Each option has a variable ({PREFIX}_TOP_K for --top-k) and a place in the config file, "
    "config.toml. A flag beats the variable, that the file, that the model's own advice."
)

app = typer.Typer(
    name="lepton", rich_markup_mode=None, pretty_exceptions_enable=False, context_settings=HELP
)

ModelName = Annotated[str | None, typer.Option("--model", "-m", help="Instead of MODEL.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def command(
    name: str, epilog: str = EPILOG
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers a command whose groups of options are spelled out."""
    settings = {**HELP, "auto_envvar_prefix": PREFIX}
    return lambda function: app.command(
        name, cls=Command, context_settings=settings, epilog=epilog
    )(grouped(function))


@app.callback(invoke_without_command=True)
def lepton(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Chat with GGUF models and generate from them, on this machine."""
    if version:
        typer.echo(f"lepton {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())
    elif context.invoked_subcommand not in WITHOUT_SETTINGS:
        commands = typer.main.get_group(app).commands
        context.default_map = default_map(known_settings(commands))


@command("run")
def run(
    context: typer.Context,
    words: Words,
    model: ModelOptions,
    prompt: PromptOptions,
    talk: ConversationOptions,
    answer: AnswerOptions,
    sampling: SamplingOptions,
    how: RunOptions,
) -> None:
    """Answer one prompt; stdout is the answer and nothing else.

    The prompt is stdin (a pipe or a file), then the files of -f, then PROMPT or -p, with blank
    lines between them.
    """
    name, text = _named(context, words, model.model)
    from lepton_cli.ui.run import Request, answer_prompt

    answer_prompt(Request(name, text, model, prompt, talk, answer, sampling, how))


@command("chat")
def chat(
    context: typer.Context,
    words: Words,
    model: ModelOptions,
    talk: ConversationOptions,
    answer: AnswerOptions,
    sampling: SamplingOptions,
    how: ReplOptions,
) -> None:
    """Talk with a model; without MODEL, with the small one that is built in."""
    from lepton_cli.ui.chat import ChatRequest, default_model, start_chat

    default = model.model
    if words.first is None and not _is_on_command_line(context, "model"):
        default = default_model(how.resume, default)
    name, text = _named(context, words, default)
    code = start_chat(ChatRequest(name, text, model, talk, answer, sampling, how))
    raise typer.Exit(code)


@command("batch")
def batch(
    context: typer.Context,
    words: BatchWords,
    model: ModelOptions,
    rows: RowOptions,
    results: ResultOptions,
    talk: ConversationOptions,
    answer: AnswerOptions,
    sampling: SamplingOptions,
) -> None:
    """Answer every row of a file: lines, JSONL, CSV or OpenAI's batch requests.

    Results are JSONL in the rows' order, or text by --output-template. A stopped run goes on where
    it was when the same command is given again; a row that fails is a result with an "error".
    """
    name, file = _named(context, Words(words.first, words.second), model.model)
    from lepton_cli.ui.batch import BatchRequest, answer_rows

    answer_rows(BatchRequest(name, file, model, rows, results, talk, answer, sampling))


@command("tokenize")
def tokenize(
    context: typer.Context,
    words: Words,
    prompt: PromptOptions,
    model: ModelName = None,
    ids: Annotated[bool, typer.Option("--ids", help="Print the ids alone, in one line.")] = False,
    bos: Annotated[
        bool, typer.Option("--bos/--no-bos", help="With the model's begin and end tokens.")
    ] = True,
    parse_special: Annotated[
        bool, typer.Option("--parse-special", help="<|...|> in the text are special tokens.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Show the token ids of a text, and what each stands for."""
    name, text = _named(context, words, model)
    from lepton_cli.engine.model import load_tokenizer
    from lepton_cli.ui import tokenize as view

    tokenizer = load_tokenizer(name)
    tokens = tokenizer.encode(gather(text, prompt, sys.stdin), bos, parse_special)
    if json:
        view.show_json(tokenizer, tokens)
    elif ids:
        view.show_ids(tokens)
    else:
        view.show(tokenizer, tokens)


@command("template")
def template(
    context: typer.Context,
    words: Words,
    prompt: PromptOptions,
    talk: ConversationOptions,
    model: ModelName = None,
) -> None:
    """Show the very prompt that the chat template makes of a text."""
    name, text = _named(context, words, model)
    from lepton_cli.ui.template import show_prompt

    show_prompt(name, gather(text, prompt, sys.stdin), talk)


@command("inspect")
def inspect_file(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A GGUF file, or a name.")],
    metadata: Annotated[bool, typer.Option("--metadata", help="And all its keys.")] = False,
    tensors: Annotated[bool, typer.Option("--tensors", help="And all its tensors.")] = False,
    template: Annotated[bool, typer.Option("--template", help="Its chat template alone.")] = False,
    json: AsJson = False,
) -> None:
    """Show what a model file holds."""
    from lepton_cli.engine.catalogue import resolve
    from lepton_cli.engine.inspection import inspect
    from lepton_cli.ui import inspect as view
    from quant.gguf import GGUF

    opened = inspect(GGUF.open(resolve(file)))
    if template:
        view.show_template(opened)
    elif json:
        view.show_json(opened, tensors=tensors)
    else:
        view.show(opened, metadata=metadata, tensors=tensors)


@command("models")
def models(json: AsJson = False) -> None:
    """List the models that have a name, and those on this disk."""
    from lepton_cli.ui import models as view

    view.show_json() if json else view.show()


@command("bench", epilog="Several values make several tests: -p 128,512 -d 0,4096")
def bench(
    context: typer.Context,
    options: BenchOptions,
    file: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="A GGUF file, or a name that models lists."),
    ] = None,
    model: ModelName = None,
) -> None:
    """Measure speed as llama-bench does, and hold it against what this machine could do."""
    name, surplus = _named(context, Words(file), model)
    if surplus is not None:
        raise UsageError(f"the models {name} and {surplus} are both given", "give one of them")
    from lepton_cli.ui.bench import run_benchmark

    run_benchmark(name, options)


@command("cache")
def cache(
    action: Annotated[
        Literal["ls", "clear"], typer.Argument(metavar="[ls|clear]", help="Show it, or empty it.")
    ] = "ls",
    json: AsJson = False,
) -> None:
    """Show or clear what is kept of prompts, so that they need not be read again."""
    from lepton_cli.ui import cache as view

    if action == "clear":
        view.clear()
    elif json:
        view.show_json()
    else:
        view.show()


@command("warmup")
def warmup(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL]...", help="Only what these need; else for every model."),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Name each kernel.")] = False,
) -> None:
    """Compile kernels ahead, so that no later run has to.

    All kernels for all formats are compiled, for the CPU and for a card where there is one, once
    a machine and version of Lepton. What is there already, or came with the package, is not
    compiled again.
    """
    from lepton_cli.ui.warmup import prepare

    prepare(models or [], verbose=verbose)


@command("doctor")
def doctor(json: AsJson = False) -> None:
    """Show what this machine offers, what Lepton makes of it, and why."""
    from lepton_cli.ui import doctor as view

    view.show_json() if json else view.show()


def _named(context: typer.Context, words: Words, model: str | None) -> tuple[str, str | None]:
    """The model's name and the text: MODEL [PROMPT], or [PROMPT] alone after -m.

    A variable or the config file names the model only where no word does: the first word is never
    guessed to be the prompt.
    """
    if _is_on_command_line(context, "model"):
        name, text, surplus = model, words.first, words.second
    else:
        name, text, surplus = words.first, words.second, None
    name = model if name is None else name
    if name is None:
        raise UsageError("no model is named", "`lepton models` lists what is here")
    if surplus is not None:
        raise UsageError("there are two words beside -m MODEL", "put the prompt in quotes")
    return name, text


def _is_on_command_line(context: typer.Context, parameter: str) -> bool:
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "COMMANDLINE"
