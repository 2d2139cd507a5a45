"""Decides which positional word is the model and which is the text.

Of two words the first is the model. A single word is the model if it names one; otherwise, if a
variable or the config file sets a default model, it is the text. With `-m` all words are text.
"""

import os
import shlex
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from lepton_cli.engine.library.catalogue import LIST_HINT, MissingModelError, names_model, resolve
from lepton_cli.ui.arguments.command import LINE, Line
from lepton_cli.ui.arguments.config import origin_of
from lepton_cli.ui.arguments.options.prompt import PositionalArguments
from quant.errors import UsageError

BUILTIN = "builtin"
EXAMPLES = {
    **dict.fromkeys(("run", "tokenize", "template"), "hello"),
    "batch": "rows.txt",
    **dict.fromkeys(("perplexity", "imatrix", "draft"), "text.txt"),
}
READERS = {"embed": "an embedding model", "similar": "an embedding model", "rerank": "a reranker"}
"""Commands whose models do not chat: the built-in one is no example for them."""
READS_FILE = ("batch", "perplexity", "imatrix", "draft")
"""Commands whose text is the name of a file."""


def model_and_text(
    context: Any, words: PositionalArguments, default: str | None
) -> tuple[str, str | None]:
    """The model and the text; `default` is the model of -m, a variable or the config file.

    Raises UsageError if no model is given, and for a text of several words.
    """
    model, texts = model_and_texts(context, words, default)
    if len(texts) > 1:
        given = [word for word in (words.first, *(words.rest or ())) if word is not None]
        raise _several_words(context, given[: len(given) - len(texts)], texts)
    return model, texts[0] if texts else None


def model_and_texts(
    context: Any, words: PositionalArguments, default: str | None
) -> tuple[str, list[str]]:
    """The model and any number of texts. Raises UsageError if no model is given."""
    given = [word for word in (words.first, *(words.rest or ())) if word is not None]
    may_name = given and not is_on_command_line(context, "model")
    named = bool(may_name) and not _first_is_text(context, given, default)
    model, texts = (given[0], given[1:]) if named else (default, given)
    if model is None:
        raise _no_model(context, texts)
    _refuse_files(context, [model] if named else [], texts)
    if named and len(texts) < 2 and context.info_name not in READS_FILE and not names_model(model):
        _refuse_text(context, given, default)
    if not named:
        _check_default(context, model)
    return model, [*texts]


def only_model(context: Any, word: str | None, default: str | None) -> str:
    """The model of a command without text. Raises UsageError for none or two."""
    if word is not None and is_on_command_line(context, "model"):
        raise UsageError(f"the models {default} and {word} are both given", "give one of them")
    model = default if word is None else word
    if model is None:
        raise _no_model(context, [])
    return model


def is_on_command_line(context: Any, parameter: str) -> bool:
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "COMMANDLINE"


def _first_is_text(context: Any, given: Sequence[str], default: str | None) -> bool:
    first, *rest = given
    if len(rest) == 1:
        if not names_model(first) and names_model(rest[0]):
            cure = context.meta[LINE].retyped(context.info_name, [rest[0], first])
            raise UsageError(f"the model comes first, before {first!r}", f"type: {cure}")
        return False
    rows = context.info_name in READS_FILE and os.path.isfile(first)
    unnamed = default is not None or rest or len(first.split()) > 1 or rows
    return bool(unnamed) and not names_model(first)


def _refuse_text(context: Any, given: Sequence[str], default: str | None) -> None:
    """Raises UsageError if the first word is not a model: then it is most likely the text."""
    try:
        resolve(given[0])
    except MissingModelError:  # the command may offer to download it
        return
    except UsageError as error:
        if error.hint != LIST_HINT:
            raise
        model = [] if default is not None else [BUILTIN]
        cure = context.meta[LINE].retyped(context.info_name, [*model, " ".join(given).strip()])
        raise UsageError(error.message, f"if it is the prompt: {cure}") from error


def _check_default(context: Any, model: str) -> None:
    """Raises UsageError, saying where it was set, for a default model that does not exist."""
    params = {param.name: param for param in context.command.params}
    origin = origin_of(context, params["model"]) if "model" in params else None
    if origin is None:
        return
    try:
        resolve(model)
    except MissingModelError:  # as above
        return
    except UsageError as error:
        raise UsageError(error.message, f"it is {origin}") from error


def _no_model(context: Any, texts: Sequence[str]) -> UsageError:
    line, command = context.meta[LINE], context.info_name
    if command in READERS:
        hint = f"name the GGUF file of {READERS[command]}; `lepton models` lists files"
        return UsageError("no model given", hint)
    text = " ".join(texts) or EXAMPLES.get(command, "")
    if not texts and {"-p", "--prompt", "-f", "--file", "--check"} & set(line.options):
        text = ""
    words = [BUILTIN, *([text] if text else [])]
    cure = line.retyped(command, words)
    return UsageError("no model given", f"for example: {cure}; `lepton models` lists others")


def _refuse_files(context: Any, model: Sequence[str], texts: Sequence[str]) -> None:
    """Raises UsageError for file names among the words (a pattern expanded by the shell)."""
    files = list(takewhile(os.path.isfile, texts))
    line, flags = context.meta[LINE], {"-f", "--file"}
    begun = bool(flags & set(line.options))
    takes = context.info_name not in READS_FILE and any(
        flags & set(option.opts) for option in context.command.params
    )
    if takes and files and (begun or len(files) == len(texts) > 1):
        rest = [" ".join(texts[len(files) :])] if len(files) < len(texts) else []
        more = Line([*line.options, *(word for file in files for word in ("-f", file))])
        cure = more.retyped(context.info_name, [*model, *rest])
        raise UsageError(
            f"{files[0]} is a file, given as the prompt", f"each file needs its own -f: {cure}"
        )


def _several_words(context: Any, model: Sequence[str], texts: Sequence[str]) -> UsageError:
    line, command = context.meta[LINE], context.info_name
    if command in READS_FILE:
        cure = f"{shlex.join(['cat', *texts])} | {line.retyped(command, [*model, '-'])}"
        return UsageError("there are several input files: put them into one", cure)
    cure = line.retyped(command, [*model, " ".join(texts)])
    return UsageError("the prompt has several words: put it in quotes", cure)
