"""The slash commands: one table, also used for `/help` and completion."""

import re
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from lepton_cli.engine.chat.chats import saved_names
from lepton_cli.engine.chat.session import Session
from lepton_cli.engine.events import Event
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.library.suggestions import did_you_mean
from lepton_cli.engine.text.reading import read_text
from lepton_cli.ui.arguments.completing import complete_chat, complete_model
from lepton_cli.ui.repl import slash_saving as keeping
from lepton_cli.ui.repl.clipboard import copy
from lepton_cli.ui.repl.dialogue import Attachment, Dialogue, Draft, as_typed
from lepton_cli.ui.repl.editor import chosen_editor, edit_text
from lepton_cli.ui.repl.slash_adapters import adapt
from lepton_cli.ui.repl.values import DEFAULT, NONE, VALUES, find_value
from lepton_cli.ui.reports.numbers import amount, columns, size
from lepton_cli.ui.terminal.meter import level
from lepton_cli.ui.terminal.wrapping import cut
from quant.errors import UsageError

MARK = "mark"
EDITING = "edit> "  # the prompt while editing
BAR = 30  # columns of a full bar


@dataclass(frozen=True, slots=True)
class SlashCommand:
    """A slash command. `completions`: whole arguments; with `files` paths are completed too.

    `most_words`: the most words after the name; None: any text, or a path with spaces.
    """

    name: str
    arguments: str
    help: str
    run: Callable[[Dialogue, str], None]
    aliases: tuple[str, ...] = ()
    completions: Callable[[], Iterable[str]] = tuple
    files: bool = False
    most_words: int | None = 0


def find_command(word: str) -> SlashCommand:
    """The command of a name or alias, without slash. Raises UsageError with similar names."""
    for command in COMMANDS:
        if word.lower() in (command.name, *command.aliases):
            return command
    names = [name for command in COMMANDS for name in (command.name, *command.aliases)]
    long = [f"/{name}" for name in names if len(name) > 1]
    near = did_you_mean(f"/{word}", long) or "/help lists the commands."
    raise UsageError(f"there is no command /{word}", f"{near} To send it as it is, begin with //")


def run_command(dialogue: Dialogue, line: str) -> None:
    """Runs `/name argument`.

    Raises UsageError for an unknown command, or too many words.
    """
    word, argument = [*re.split(r"\s+", line[1:].rstrip(), maxsplit=1), ""][:2]
    command = find_command(word)
    if command.most_words is not None and len(argument.split()) > command.most_words:
        _refuse_words(command, word, argument)
    command.run(dialogue, argument)


def _refuse_words(command: SlashCommand, word: str, argument: str) -> NoReturn:
    most = "one word at most" if command.most_words else "no words"
    usage = f"/{word} {command.arguments}".rstrip()
    hint = f"type {usage}; to send the line as it is, begin with //"
    raise UsageError(f"/{word} takes {most}, but got {argument!r}", hint)


# --- the conversation ---------------------------------------------------------------------------


def _retry(dialogue: Dialogue, argument: str) -> None:
    sampling = dialogue.session.generation.sampling
    if sampling.temperature <= 0 or sampling.seed is not None:
        dialogue.note("with temperature 0 or a fixed seed the answer will be the same (see /set)")
    dialogue.answer(dialogue.session.retry())


def _continue(dialogue: Dialogue, argument: str) -> None:
    before = dialogue.session.conversation.last_answer
    is_finished = before is not None and before.reason == "stop"
    if is_finished:
        dialogue.note("that answer was complete; the model continues if it has more to say")
    dialogue.answer(dialogue.session.continue_last())
    after = dialogue.session.conversation.last_answer
    if before and after and before.message == after.message:
        dialogue.note("the model added nothing; /retry generates a new answer")


def _undo(dialogue: Dialogue, argument: str) -> None:
    if argument and not argument.isdecimal():
        raise UsageError(f"{argument!r} is not a number of questions", "/undo, or /undo 3")
    for message in dialogue.session.undo(int(argument or 1)):
        dialogue.note(f"taken back: {_first_line(message.content)}")


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:60]


def _back(dialogue: Dialogue, argument: str) -> None:
    if not dialogue.session.back():
        raise UsageError("there is no change to undo")
    dialogue.note(f"back to {counted(len(dialogue.session.conversation.turns), 'message')}")


def _edit(dialogue: Dialogue, argument: str) -> None:
    """Edits in the user's editor if one is set; then the text is in the input line."""
    text, send = _editable(dialogue.session, argument)
    editor = chosen_editor()
    if editor is None:
        dialogue.draft = Draft(as_typed(text), send, EDITING)
        return
    edited = edit_text(text, editor)
    if edited.strip() in ("", text.strip()):
        dialogue.note("unchanged")
        return
    dialogue.draft = Draft(as_typed(edited), send, EDITING)


def _editable(session: Session, argument: str) -> tuple[str, Callable[[str], Generator[Event]]]:
    """The text to edit, and the function that sends the new text."""
    if argument == "answer":
        answer = session.conversation.last_answer
        if answer is None:
            raise UsageError("there is no answer to edit", "ask something first")
        return answer.message.content, lambda text: _continue_from(session, text)
    if argument and not argument.isdecimal():
        raise UsageError(f"{argument!r} cannot be edited", "/edit, /edit 2 or /edit answer")
    number = int(argument) if argument else None
    return session.question(number), lambda text: session.edit(text, number)


def _continue_from(session: Session, text: str) -> Generator[Event]:
    session.edit_answer(text)
    return session.continue_last()


def _clear(dialogue: Dialogue, argument: str) -> None:
    dialogue.session.clear()
    dialogue.attachments.clear()
    dialogue.note(
        "cleared, /back undoes it"
        + ("; the system prompt stays" if dialogue.session.conversation.system else "")
    )


def _system(dialogue: Dialogue, argument: str) -> None:
    if argument:
        dialogue.session.set_system(None if argument == NONE else argument)
    dialogue.note(f"system: {dialogue.session.conversation.system or NONE}")


def _read(dialogue: Dialogue, argument: str) -> None:
    if not argument:
        raise UsageError("/read needs a file", "/read notes.txt; /read none removes it")
    if argument == NONE:
        dialogue.attachments.clear()
        dialogue.note("no file attached")
        return
    path, size = Path(argument).expanduser(), dialogue.session.model.context_size
    text = read_text(str(path))
    tokens = len(dialogue.session.model.tokenizer.encode(text, add_special=False))
    if tokens >= size:
        message = f"{path.name} has {counted(tokens, 'token')}, the context {size}"
        raise UsageError(message, "read a part of it, or open the model with a larger -c")
    dialogue.attachments.append(Attachment(path.name, text))
    dialogue.note(f"{path.name} ({counted(tokens, 'token')}) will be put before your next message")


def _model(dialogue: Dialogue, argument: str) -> None:
    if argument:
        dialogue.switch_model(argument)
    model = dialogue.session.model
    parameters = f"{amount(model.parameter_count)} parameters"
    about = f"{model.architecture}, {parameters}, {size(model.file_bytes)}"
    dialogue.say((model.name, MARK), f"  {about}")
    dialogue.note(f"{model.path} · context {model.context_size} · {model.backend}")


# --- what is going on ---------------------------------------------------------------------------


def _set(dialogue: Dialogue, argument: str) -> None:
    name, _, text = argument.partition(" ")
    if not name:
        _list_values(dialogue)
        return
    value = find_value(name)
    if text.strip():
        value.set(dialogue, text.strip())
    dialogue.note(f"{value.name} = {value.read(dialogue)}")


def _list_values(dialogue: Dialogue) -> None:
    """Lists all values; changed ones are bold, with their default."""
    width = max(len(value.name) for value in VALUES)
    for value in VALUES:
        now = value.read(dialogue)
        is_default = now == value.default
        shown = now if is_default else f"{now}  (default {value.default})"
        aligned = width if width + len(shown) + 2 <= dialogue.width else 0
        row = cut(f"{value.name:<{aligned}}  {shown}", dialogue.width)
        dialogue.say((row, "" if is_default else "bold"))


def _context(dialogue: Dialogue, argument: str) -> None:
    """Shows a bar per message, and one for the tokens that the template adds."""
    session, use = dialogue.session, dialogue.session.context_use()
    messages, widest = session.messages, max(len(str(use.used)), 4)
    hidden = range(len(messages) - len(session.conversation.turns), len(messages))[: use.left_out]
    for i, (message, tokens) in enumerate(zip(messages, use.messages, strict=True)):
        part = f"{message.role:>9} {tokens:>{widest}} "
        bar = "" if dialogue.plain else "█" * round(BAR * tokens / max(use.used, 1)) + " "
        fate = "left out " if i in hidden else ""
        room = dialogue.width - len(part + bar + fate) - 1
        words = cut(" ".join(message.content.split()), room)
        dialogue.say(part, (bar, MARK), (fate, "failure"), (words, "faint"))
    template = max(0, use.used - sum(use.messages))
    dialogue.say(f"{'template':>9} {template:>{widest}}")
    total = f"{use.used}/{use.size} tokens, {use.used / use.size:.0%}"
    dialogue.say(("total", "bold"), " ", (total, level(use.used, use.size)))


def _history(dialogue: Dialogue, argument: str) -> None:
    """Shows the whole chat; the numbers of questions are those of `/edit N`."""
    conversation, asked = dialogue.session.conversation, 0
    if not dialogue.session.messages:
        raise UsageError("the chat is empty", "type a message first")
    if conversation.system is not None:
        dialogue.say(("system", MARK))
        dialogue.say(conversation.system)
    for turn in conversation.turns:
        is_question = turn.message.role == "user"
        asked += is_question
        dialogue.say()
        dialogue.say((f"{turn.message.role} {asked}", MARK))
        dialogue.say(turn.message.content) if is_question else dialogue.show_answer(turn.message)


def _stats(dialogue: Dialogue, argument: str) -> None:
    done = dialogue.last
    if done is None:
        raise UsageError("there is no answer yet", "ask something first")
    stats = done.stats
    read = stats.prompt_tokens - stats.cached_tokens
    rows = [
        ("prompt", counted(stats.prompt_tokens, "token")),
        ("  from the cache", counted(stats.cached_tokens, "token")),
        ("  left out", counted(stats.dropped_tokens, "token")),
        ("  read", f"{counted(read, 'token')}{_speed(read, stats.prefill_seconds)}"),
        (
            "answer",
            f"{counted(stats.generated_tokens, 'token')}"
            f"{_speed(stats.generated_tokens, stats.decode_seconds)}",
        ),
        ("ended", done.reason if done.stop_string is None else f"at {done.stop_string!r}"),
        ("context", f"{dialogue.session.used}/{stats.context_size} tokens"),
    ]
    for line in columns(rows).splitlines():
        dialogue.say(line)


def _speed(tokens: int, seconds: float) -> str:
    return f" in {seconds:.2f} s, {tokens / seconds:.1f} tokens/s" if seconds > 0 and tokens else ""


def _template(dialogue: Dialogue, argument: str) -> None:
    """Shows the prompt as the model gets it; ⟦ ⟧ mark special tokens."""
    session = dialogue.session
    dialogue.say(("template: ", "faint"), (session.model.template.name, MARK))
    dialogue.note_template()
    if not session.conversation.turns:
        dialogue.note("there is no question yet, so there is no prompt to show")
        return
    dialogue.say(*_marked(session))


def _marked(session: Session) -> Iterator[str | tuple[str, str]]:
    tokenizer = session.model.tokenizer
    special = {tokenizer.token_id(text) for text in tokenizer.special_texts}
    data = b""
    for token in session.prompt():
        if token not in special:
            data += tokenizer.token_bytes(token)
            continue
        yield data.decode("utf-8", "replace")
        yield f"⟦{tokenizer.token_text(token)}⟧", MARK
        data = b""
    yield data.decode("utf-8", "replace")


# --- the rest -----------------------------------------------------------------------------------


def _help(dialogue: Dialogue, argument: str) -> None:
    shown = (find_command(argument.removeprefix("/")),) if argument else COMMANDS
    rows = [(f"/{command.name} {command.arguments}".rstrip(), command) for command in shown]
    width = max(len(usage) for usage, _ in rows)
    for usage, command in rows:
        also = f" (also {', '.join(f'/{alias}' for alias in command.aliases)})"
        dialogue.say(
            (usage.ljust(width), MARK), f"  {command.help}", also if command.aliases else ""
        )
    if not argument:
        for line in KEYS:
            dialogue.note(line)


def _exit(dialogue: Dialogue, argument: str) -> None:
    dialogue.is_over = True


KEYS = (
    'Enter sends; Alt-Enter or a \\ at the end begins a new line; """ opens and closes a block.',
    "Ctrl-C stops an answer and keeps it, or clears the input; Ctrl-D exits.",
    "Ctrl-R searches the input history; Ctrl-X Ctrl-E opens the line in your editor.",
    "A long message that was refused is shown as [300 lines]: Tab unfolds, Backspace deletes it.",
    "A message that begins with // is sent with one /.",
)


def _names() -> list[str]:
    return [f"/{command.name}" for command in COMMANDS]


def _set_completions() -> Iterator[str]:
    for value in VALUES:
        yield value.name
        yield from (f"{value.name} {choice}" for choice in (*value.choices, DEFAULT))


COMMANDS: tuple[SlashCommand, ...] = (
    SlashCommand("help", "[COMMAND]", "this list", _help, ("?", "h"), _names, most_words=1),
    SlashCommand("retry", "", "answer the last question again", _retry, ("regen",)),
    SlashCommand("continue", "", "continue the last answer exactly where it ended", _continue),
    SlashCommand("undo", "[N]", "remove the last question, or the last N", _undo, most_words=1),
    SlashCommand("back", "", "the chat before /undo, /edit, /retry, /clear or /load", _back),
    SlashCommand(
        "edit",
        "[N|answer]",
        "change the last question, the Nth, or the last answer",
        _edit,
        completions=lambda: ("answer",),
        most_words=1,
    ),
    SlashCommand("clear", "", "start over, keeping the system prompt", _clear, ("new",)),
    SlashCommand(
        "system",
        "[TEXT|none]",
        "show or change the system prompt",
        _system,
        completions=lambda: (NONE,),
        most_words=None,
    ),
    SlashCommand(
        "set",
        "[NAME [VALUE]]",
        "show or change the settings of answers",
        _set,
        completions=_set_completions,
        most_words=None,
    ),
    SlashCommand(
        "read",
        "FILE",
        "put a file before the next message",
        _read,
        files=True,
        most_words=None,
    ),
    SlashCommand("history", "", "show the whole chat", _history),
    SlashCommand(
        "copy",
        "[code|N]",
        "copy the answer or a code block of it",
        copy,
        completions=lambda: ("code",),
        most_words=1,
    ),
    SlashCommand("context", "", "show how many tokens each message takes", _context, ("tokens",)),
    SlashCommand("stats", "", "show the speed and tokens of the last answer", _stats, ("info",)),
    SlashCommand("template", "", "show the prompt as the model gets it", _template, ("prompt",)),
    SlashCommand(
        "save",
        "[-f] [NAME]",
        "save as NAME, .json .md .txt; -f replaces",
        keeping.save,
        ("export",),
        saved_names,
        files=True,
        most_words=None,
    ),
    SlashCommand(
        "load",
        "[NAME]",
        "continue a saved chat, or list them",
        keeping.load,
        (),
        lambda: complete_chat(""),
        True,
        most_words=None,
    ),
    SlashCommand(
        "branch",
        "[N]",
        "list the branches of this chat, or go to one",
        keeping.branch,
        most_words=1,
    ),
    SlashCommand(
        "sessions",
        "[NAME]",
        "list the autosaved chats, or continue one",
        keeping.resume,
        completions=lambda: complete_chat(""),
        most_words=None,
    ),
    SlashCommand(
        "model",
        "[MODEL]",
        "show the model, or continue with another one",
        _model,
        (),
        lambda: complete_model(""),
        files=True,
        most_words=None,
    ),
    SlashCommand(
        "lora",
        "[N SCALE]",
        "list adapters, or scale one: 0.5, on, off",
        adapt,
        ("adapters",),
        most_words=None,
    ),
    SlashCommand("exit", "", "leave", _exit, ("quit", "bye", "q")),
)
