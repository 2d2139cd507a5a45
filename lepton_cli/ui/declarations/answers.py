"""The commands that answer prompts: run, chat, batch."""

import typer

from lepton_cli.engine.library.catalogue import names_model
from lepton_cli.ui.arguments.options.answer import AnswerOptions
from lepton_cli.ui.arguments.options.batch import BatchArguments, ResultOptions, RowOptions
from lepton_cli.ui.arguments.options.chat import ConversationOptions, ReplOptions
from lepton_cli.ui.arguments.options.diffusion import DiffusionOptions
from lepton_cli.ui.arguments.options.model import ModelOptions
from lepton_cli.ui.arguments.options.prompt import PositionalArguments, PromptOptions, RunOptions
from lepton_cli.ui.arguments.options.sampling import SamplingOptions
from lepton_cli.ui.arguments.words import is_on_command_line, model_and_text
from lepton_cli.ui.declarations.declaring import command


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
