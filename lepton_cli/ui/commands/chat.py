"""`lepton chat`: opens a model and a chat with the options of the command line."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lepton_cli.engine.chat.autosave import is_session, read_session, sessions_folder
from lepton_cli.engine.chat.chats import find_chat, latest_session, saved_first, sessions_first
from lepton_cli.engine.library.catalogue import packaged, resolve
from lepton_cli.engine.loading.adapters import AdapterFile, reopened
from lepton_cli.engine.model import Model
from lepton_cli.ui.arguments.adapters import adapters_of
from lepton_cli.ui.arguments.constraints import check_form
from lepton_cli.ui.arguments.options.answer import AnswerOptions
from lepton_cli.ui.arguments.options.chat import ConversationOptions, ReplOptions
from lepton_cli.ui.arguments.options.model import ModelOptions
from lepton_cli.ui.arguments.options.sampling import SamplingOptions
from lepton_cli.ui.arguments.prompt import typed_prompt
from lepton_cli.ui.arguments.settings import generation_settings
from lepton_cli.ui.arguments.text_values import one_text
from lepton_cli.ui.commands.library.offer import resolve_or_pull
from lepton_cli.ui.open_model import open_model, without_adapters
from lepton_cli.ui.repl import repl
from lepton_cli.ui.repl.dialogue import ChatOptions
from lepton_cli.ui.terminal.notes import note
from quant.errors import UsageError

BUILTIN, BUILTIN_FILE = "builtin", "builtin.gguf"
BUILTIN_NOTE = (
    "this is the built-in model: tiny, it greets, tells short stories and knows how to use Lepton; "
    "open a real one with: lepton chat model.gguf"
)


def chosen_chat(how: ReplOptions) -> Path | None:
    """The chat to continue. Raises UsageError if there is none of that name."""
    if how.load is not None and how.resume is not None:
        raise UsageError("--load and --resume are both given", "give one of them")
    if how.load is not None:
        return find_chat(how.load, saved_first())
    if how.resume is None:
        return None
    return (
        find_chat(how.resume, sessions_first()) if how.resume else latest_session(sessions_folder())
    )


def default_model(how: ReplOptions, setting: str | None) -> str:
    """The model if none is given: that of the resumed chat, else of the settings, else built-in.

    Raises UsageError if there is no such chat, or its model no longer exists.
    """
    path = chosen_chat(how)
    file = read_session(path).file if path is not None and is_session(path) else None
    if path is None or file is None:
        return setting or BUILTIN
    if file.name == BUILTIN_FILE:
        return BUILTIN
    if not file.exists():
        hint = f"name one: lepton chat MODEL --resume {path.stem}"
        raise UsageError(f"the model of the chat {path.stem}, {file}, no longer exists", hint)
    return str(file)


def adapters_of_chat(chat: Path, model: Path) -> tuple[AdapterFile, ...]:
    """The adapters that a saved chat was last held with, if that was with this model.

    Where they are not there as they were, a note says so, and the chat goes on without them.
    """
    saved = read_session(chat) if is_session(chat) else None
    if saved is None or not saved.adapters or saved.file != model.absolute():
        return ()
    try:
        found = reopened(saved.adapters)
    except UsageError as error:
        note(f"this chat goes on without its adapters: {error.message}; give them with --lora FILE")
        return ()
    for each in found:
        note(f"opened again, as in this chat: {each.path} x {each.scale:g}")
    return found


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """The command line's request: `name` of the model, `words` of the first message, options."""

    name: str
    words: str | None
    model: ModelOptions
    talk: ConversationOptions
    answer: AnswerOptions
    sampling: SamplingOptions
    how: ReplOptions


def start_chat(request: ChatRequest) -> int:
    """Returns the exit code; raises LeptonError."""
    how, talk = request.how, request.talk

    def load(
        name: str,
        options: ModelOptions,
        found: Callable[[str], Path] = resolve,
        chat: Path | None = None,
    ) -> Model:
        path = packaged(BUILTIN_FILE) if name == BUILTIN else found(name)
        model = open_model(path, options, talk, adapters_of_chat(chat, path) if chat else ())
        if model.has_encoder:
            model.close()
            message = f"{path} has an encoder ({model.architecture}): it answers single texts"
            raise UsageError(message, f"use lepton run {shlex.quote(str(path))} TEXT")
        return model

    def load_another(name: str) -> Model:
        """Adapters belong to the model that the chat began with."""
        return load(name, without_adapters(request.model))

    check_form(request.answer)
    prompt = typed_prompt(request.words, how.prompt, escape=how.escape)
    system = one_text("--system-prompt", talk.system_prompt, talk.system_prompt_file)
    if request.name == BUILTIN:
        note(BUILTIN_NOTE)
    resume = chosen_chat(how)
    named = bool(adapters_of(request.model))  # on the command line: those of the chat are not asked
    chat = None if named else resume
    with load(request.name, request.model, resolve_or_pull, chat) as model:
        options = ChatOptions(
            generation=generation_settings(
                request.answer, talk, request.sampling, model, request.name, escape=how.escape
            ),
            system=system,
            prompt=prompt,
            single_turn=how.single_turn,
            resume=resume,
            plain=how.plain,
            reasoning=talk.reasoning or "show",
            thinking=talk.think,
            theme="none" if talk.no_color else talk.theme,
            history=how.history,
        )
        return repl.chat(model, options, load_another)
