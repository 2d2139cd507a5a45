"""Declares all commands and their options; each is implemented in a module imported on demand.

Nothing here imports NumPy, Numba, rich or prompt-toolkit: `--help` must take a tenth of a second.
"""

import os
import sys
from collections.abc import Callable
from typing import Annotated, Literal

import typer

from lepton_cli.engine.library.catalogue import names_model
from lepton_cli.ui.arguments.command import Command
from lepton_cli.ui.arguments.completing import complete_model
from lepton_cli.ui.arguments.config import default_map, known_settings
from lepton_cli.ui.arguments.options.answer import AnswerOptions
from lepton_cli.ui.arguments.options.batch import BatchArguments, ResultOptions, RowOptions
from lepton_cli.ui.arguments.options.bench import BenchOptions
from lepton_cli.ui.arguments.options.chat import ConversationOptions, ReplOptions
from lepton_cli.ui.arguments.options.diffusion import DiffusionOptions
from lepton_cli.ui.arguments.options.groups import expand_groups, section
from lepton_cli.ui.arguments.options.model import ModelOptions
from lepton_cli.ui.arguments.options.prompt import (
    MODEL_HELP,
    PositionalArguments,
    PromptOptions,
    RunOptions,
)
from lepton_cli.ui.arguments.options.sampling import SamplingOptions
from lepton_cli.ui.arguments.options.texts import (
    IndexOptions,
    InputOptions,
    PrefixOptions,
    QueryArguments,
    RankingOptions,
    TextArguments,
    TextModelOptions,
    VectorOptions,
)
from lepton_cli.ui.arguments.prompt import gather
from lepton_cli.ui.arguments.setting_names import names_of, note_unknown
from lepton_cli.ui.arguments.usage.guesses import LeptonGroup
from lepton_cli.ui.arguments.words import (
    is_on_command_line,
    model_and_text,
    model_and_texts,
    only_model,
)
from lepton_cli.ui.commands.session_commands import app as sessions
from lepton_cli.version import __version__
from quant.errors import UsageError

# commands that must work even if the config file is invalid
WITHOUT_CONFIG = ("cache", "doctor", "inspect", "models", "sessions", "warmup")
MODEL_ALONE = ("bench",)  # its results must not depend on other settings of the config file
HELP = {"help_option_names": ["-h", "--help"]}
EPILOG = (
    "Each option can also be set by a variable (LEPTON_TOP_K for --top-k) and in the config file "
    "(top-k = 40). A flag wins over a variable, a variable over the config file, and the config "
    "file over what the model file recommends."
)
NO_CONFIG_EPILOG = "Each option can also be set by a variable (LEPTON_JSON=1 for --json)."

app = typer.Typer(
    name="lepton",
    cls=LeptonGroup,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=HELP,
)

option = section("Options")
ModelName = Annotated[
    str | None,
    option(
        *("--model", "-m"),
        metavar="MODEL",
        help="The model, instead of MODEL.",
        autocompletion=complete_model,
    ),
]
ModelFile = Annotated[
    str | None,
    typer.Argument(metavar="MODEL", help=MODEL_HELP, autocompletion=complete_model),
]
AsJson = Annotated[bool, option("--json", help="Print one JSON object.")]


def command(
    name: str, epilog: str = EPILOG
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers a command, expanding its groups of options."""
    return lambda function: app.command(name, cls=Command, context_settings=HELP, epilog=epilog)(
        expand_groups(function)
    )


@app.callback(invoke_without_command=True)
def lepton(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", "-V", help="Print the version.")] = False,
    install_man: Annotated[
        bool, typer.Option("--install-man", help="Install the manual page for `man lepton`.")
    ] = False,
) -> None:
    """Chat with GGUF models and generate text from them, on this machine."""
    if version:
        typer.echo(f"lepton {__version__}")
    elif install_man:
        from lepton_cli.ui.commands.manual import install_manual

        path = install_manual(context, __version__)
        typer.echo(f"installed {path}: read it with man lepton, or man {path}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())
    else:
        assert isinstance(context.command, LeptonGroup)
        commands = context.command.commands
        note_unknown(names_of(commands), os.environ)
        known = known_settings(commands)
        command = context.invoked_subcommand
        if command not in WITHOUT_CONFIG:
            settings = default_map(known)[command]
            chosen = {"model": settings.get("model")} if command in MODEL_ALONE else settings
            context.default_map = {command: chosen}


@command("run")
def run(
    context: typer.Context,
    words: PositionalArguments,
    model: ModelOptions,
    prompt: PromptOptions,
    talk: ConversationOptions,
    answer: AnswerOptions,
    sampling: SamplingOptions,
    diffusion: DiffusionOptions,
    how: RunOptions,
) -> None:
    """Answer one prompt; only the answer goes to stdout.

    The prompt consists of stdin (a pipe or a file), the files of -f, and PROMPT or -p, in this
    order, separated by blank lines.
    """
    name, text = model_and_text(context, words, model.model)
    from lepton_cli.ui.commands.run import RunRequest, answer_prompt

    answer_prompt(RunRequest(name, text, model, prompt, talk, answer, sampling, diffusion, how))


@command("chat")
def chat(
    context: typer.Context,
    words: PositionalArguments,
    model: ModelOptions,
    talk: ConversationOptions,
    answer: AnswerOptions,
    sampling: SamplingOptions,
    how: ReplOptions,
) -> None:
    """Chat with a model; without MODEL, with the small built-in one."""
    from lepton_cli.ui.commands.chat import ChatRequest, default_model, start_chat

    default = model.model
    goes_on = how.resume is not None or how.load is not None
    resumes = goes_on and not names_model(words.first or "")
    if (words.first is None or resumes) and not is_on_command_line(context, "model"):
        default = default_model(how, default)
    name, text = model_and_text(context, words, default)
    code = start_chat(ChatRequest(name, text, model, talk, answer, sampling, how))
    raise typer.Exit(code)


@command("batch")
def batch(
    context: typer.Context,
    words: BatchArguments,
    model: ModelOptions,
    rows: RowOptions,
    results: ResultOptions,
    talk: ConversationOptions,
    answer: AnswerOptions,
    sampling: SamplingOptions,
) -> None:
    """Answer every row of a file: lines, JSON, CSV, OpenAI batches.

    Results are JSONL in the rows' order, or text by --output-template. The same
    command again continues a run that was stopped; a row that fails gives an "error" result.
    """
    name, file = model_and_text(context, words, model.model)
    from lepton_cli.ui.commands.batch import BatchRequest, answer_rows

    answer_rows(BatchRequest(name, file, model, rows, results, talk, answer, sampling))


@command("embed")
def embed(
    context: typer.Context,
    words: TextArguments,
    model: TextModelOptions,
    texts: InputOptions,
    prefix: PrefixOptions,
    vectors: VectorOptions,
) -> None:
    """Print the vectors (embeddings) of texts: words, lines, JSON or CSV.

    Results are JSONL, lines of numbers or a NumPy array. The same command again
    continues a run that was stopped; a text that fails gives an "error" result.
    """
    name, given = model_and_texts(context, words, model.model)
    from lepton_cli.ui.commands.texts.embed import EmbedRequest, embed_texts

    embed_texts(EmbedRequest(name, given, model, texts, prefix, vectors))


@command("rerank")
def rerank(
    context: typer.Context,
    words: QueryArguments,
    model: TextModelOptions,
    texts: InputOptions,
    ranking: RankingOptions,
) -> None:
    """Print texts in the order in which they answer a query, with their scores.

    The texts are the lines of stdin, or the rows of -f; the model is a reranker.
    """
    name, query = model_and_text(context, words, model.model)
    from lepton_cli.ui.commands.texts.rerank import RerankRequest, rerank_texts

    rerank_texts(RerankRequest(name, query, model, texts, ranking))


@command("similar")
def similar(
    context: typer.Context,
    words: QueryArguments,
    model: TextModelOptions,
    texts: InputOptions,
    index: IndexOptions,
    ranking: RankingOptions,
) -> None:
    """Print the texts of a file whose vectors are nearest to a text's.

    The texts are the lines of stdin, or the rows of -f; the score is the cosine.
    """
    name, text = model_and_text(context, words, model.model)
    from lepton_cli.ui.commands.texts.similar import SimilarRequest, find_similar

    find_similar(SimilarRequest(name, text, model, texts, index, ranking))


@command("tokenize")
def tokenize(
    context: typer.Context,
    words: PositionalArguments,
    prompt: PromptOptions,
    model: ModelName = None,
    ids: Annotated[bool, option("--ids", help="Print only the ids, in one line.")] = False,
    bos: Annotated[
        bool, option("--bos/--no-bos", help="Add the model's begin and end tokens.")
    ] = True,
    parse_special: Annotated[
        bool, option("--parse-special", help="Read <|...|> in the text as special tokens.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Show the tokens of a text: their ids, and the text of each."""
    name, text = model_and_text(context, words, model)
    from lepton_cli.engine.model import load_tokenizer
    from lepton_cli.ui.commands import tokenize as view

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
    words: PositionalArguments,
    prompt: PromptOptions,
    talk: ConversationOptions,
    model: ModelName = None,
    check: Annotated[
        bool, option("--check", help="Report the template's faults instead; exit 1 if any.")
    ] = False,
) -> None:
    """Show the exact prompt that the chat template produces."""
    name, text = model_and_text(context, words, model)
    from lepton_cli.ui.commands.template import show_faults, show_prompt

    if not check:
        show_prompt(name, gather(text, prompt, sys.stdin), talk)
    else:
        for given in (text, prompt.prompt, *(prompt.file or ())):
            if given is not None:
                message = f"--check takes no text, but {given!r:.40} is given"
                raise UsageError(message, "leave it out")
        show_faults(name, talk)


@command("inspect", epilog=NO_CONFIG_EPILOG)
def inspect_file(
    context: typer.Context,
    file: ModelFile = None,
    model: ModelName = None,
    metadata: Annotated[bool, option("--metadata", help="Also list all metadata keys.")] = False,
    tensors: Annotated[bool, option("--tensors", help="Also list all tensors.")] = False,
    template: Annotated[bool, option("--template", help="Print only the chat template.")] = False,
    json: AsJson = False,
) -> None:
    """Show what a model file contains."""
    name = only_model(context, file, model)
    from lepton_cli.engine.library.catalogue import resolve
    from lepton_cli.engine.loading.inspection import inspect
    from lepton_cli.ui.commands import inspect as view
    from quant.gguf import GGUF

    opened = inspect(GGUF.open(resolve(name)))
    if template:
        view.show_template(opened)
    elif json:
        view.show_json(opened, tensors=tensors)
    else:
        view.show(opened, metadata=metadata, tensors=tensors)


@command("models", epilog=NO_CONFIG_EPILOG)
def models(
    architectures: Annotated[
        bool, option("--architectures", help="List the supported model architectures instead.")
    ] = False,
    json: AsJson = False,
) -> None:
    """List the models on this disk, and those that can be downloaded by name."""
    if architectures:
        from lepton_cli.ui.commands import architectures as table

        table.show_json() if json else table.show()
        return
    from lepton_cli.ui.commands import models as view

    view.show_json() if json else view.show()


@command("bench", epilog="Several values give several tests: -p 128,512 -d 0,4096")
def bench(
    context: typer.Context,
    options: BenchOptions,
    file: ModelFile = None,
    model: ModelName = None,
) -> None:
    """Measure speed like llama-bench, compared with the limits of the machine."""
    name = only_model(context, file, model)
    from lepton_cli.ui.commands.bench import run_benchmark

    run_benchmark(name, options)


@command("cache", epilog=NO_CONFIG_EPILOG)
def cache(
    action: Annotated[
        Literal["ls", "clear"],
        typer.Argument(metavar="[ls|clear]", help="ls shows the cache, clear empties it."),
    ] = "ls",
    json: AsJson = False,
) -> None:
    """Show or clear the prompt cache."""
    from lepton_cli.ui.commands import cache as view

    if action == "clear":
        view.clear()
    elif json:
        view.show_json()
    else:
        view.show()


app.add_typer(sessions, name="sessions")


@command("warmup", epilog=NO_CONFIG_EPILOG)
def warmup(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="Compile only what these models need.",
            autocompletion=complete_model,
        ),
    ] = None,
    verbose: Annotated[
        bool, option("--verbose", "-v", help="Show the name of each kernel.")
    ] = False,
) -> None:
    """Compile all kernels now, so that later runs start faster.

    Compiles the kernels of all formats, for the CPU and for a GPU if there is one. They are
    stored for this machine and this version of Lepton; kernels that are stored already, or came
    with the package, are not compiled again. Where a kernel has two shapes, the one that is
    faster here is found by measurement, once; both give the same results.
    """
    from lepton_cli.ui.commands.warmup import prepare

    prepare(models or [], verbose=verbose)


@command("doctor", epilog=NO_CONFIG_EPILOG)
def doctor(json: AsJson = False) -> None:
    """Show this machine's hardware, what Lepton uses of it, and why."""
    from lepton_cli.ui.commands import doctor as view

    view.show_json() if json else view.show()
