"""`lepton chat` from the command line: its options become a model and an open chat."""

from dataclasses import dataclass
from pathlib import Path

from lepton_cli.engine.autosave import find_session, read_session, sessions_folder
from lepton_cli.engine.catalogue import packaged, resolve
from lepton_cli.engine.model import Model
from lepton_cli.ui import repl
from lepton_cli.ui.dialogue import ChatOptions
from lepton_cli.ui.forms import check_form
from lepton_cli.ui.notes import note
from lepton_cli.ui.opening import one_text, open_model
from lepton_cli.ui.options import (
    AnswerOptions,
    ConversationOptions,
    ModelOptions,
    ReplOptions,
)
from lepton_cli.ui.prompt import typed_prompt
from lepton_cli.ui.sampling_options import SamplingOptions
from lepton_cli.ui.settings import generation_settings
from quant.errors import UsageError

BUILTIN, BUILTIN_FILE = "builtin", "builtin.gguf"
BUILTIN_NOTE = (
    "this is the built-in model: tiny, it greets, tells short stories and knows how to use Lepton; "
    "open a real one with: lepton chat model.gguf"
)


def default_model(resume: str | None, setting: str | None) -> str:
    """Where none is named: the one that held the chat, else that of the settings, or the built-in.

    Raises UsageError where there is no such chat, or its model has gone.
    """
    if resume is None:
        return setting or BUILTIN
    path = find_session(sessions_folder(), resume or None)
    file = read_session(path).file
    if file is None:
        return setting or BUILTIN
    if file.name == BUILTIN_FILE:
        return BUILTIN
    if not file.exists():
        hint = f"name one: lepton chat MODEL --resume {path.stem}"
        raise UsageError(f"the model that held {path.stem}, {file}, is not there any more", hint)
    return str(file)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """All that the command line says. `name` is the model's, `words` are the first message."""

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

    def load(name: str) -> Model:
        path = packaged(BUILTIN_FILE) if name == BUILTIN else resolve(name)
        return open_model(path, request.model, talk)

    check_form(request.answer)
    prompt = typed_prompt(request.words, how.prompt, escape=how.escape)
    system = one_text("--system-prompt", talk.system_prompt, talk.system_prompt_file)
    if request.name == BUILTIN:
        note(BUILTIN_NOTE)
    if how.load is not None and how.resume is not None:
        raise UsageError("--load and --resume are both given", "give one of them")
    resume = None if how.resume is None else find_session(sessions_folder(), how.resume or None)
    with load(request.name) as model:
        options = ChatOptions(
            generation=generation_settings(
                request.answer, request.sampling, model, request.name, escape=how.escape
            ),
            system=system,
            prompt=prompt,
            single_turn=how.single_turn,
            load=Path(how.load) if how.load is not None else None,
            resume=resume,
            plain=how.plain,
            reasoning=talk.reasoning or "show",
            thinking=talk.think,
            history=how.history,
        )
        return repl.chat(model, options, load)
