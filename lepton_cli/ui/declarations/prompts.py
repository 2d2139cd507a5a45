"""The commands that show what a model reads: tokenize, template."""

import sys
from typing import Annotated

import typer

from lepton_cli.ui.arguments.options.chat import ConversationOptions
from lepton_cli.ui.arguments.options.groups import JsonFlag
from lepton_cli.ui.arguments.options.prompt import PositionalArguments, PromptOptions
from lepton_cli.ui.arguments.prompt import gather
from lepton_cli.ui.arguments.words import model_and_text
from lepton_cli.ui.declarations.declaring import ModelName, command, option
from quant.errors import UsageError


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
    json: JsonFlag = False,
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
