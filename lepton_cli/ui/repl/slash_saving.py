"""The slash commands for saved chats, autosaved chats and branches."""

import time
from pathlib import Path

from lepton_cli.engine.chat.autosave import read_session, sessions_folder
from lepton_cli.engine.chat.branches import Branch
from lepton_cli.engine.chat.chats import (
    chats_in,
    find_chat,
    saved_first,
    saved_folder,
    saved_names,
    sessions_first,
)
from lepton_cli.engine.library.paths import private_folder
from lepton_cli.engine.library.sizes import counted
from lepton_cli.ui.repl.dialogue import Dialogue
from lepton_cli.ui.reports.numbers import columns
from lepton_cli.ui.terminal.wrapping import cut
from quant.errors import UsageError

MAX_LISTED = 20  # chats


def save(dialogue: Dialogue, argument: str) -> None:
    overwrite, name = argument.startswith("-f "), argument.removeprefix("-f ").strip()
    path = _chat_path(name) if name else dialogue.saved_as
    if path is None:
        raise UsageError("/save needs a name", "/save holidays, or a file: .json, .md or .txt")
    if path.parent == saved_folder():
        private_folder(path.parent)
    dialogue.session.save(path, overwrite=overwrite)
    dialogue.saved_as = path
    dialogue.note(f"saved as {path}")


def load(dialogue: Dialogue, argument: str) -> None:
    if not argument:
        dialogue.note("saved chats: " + (", ".join(saved_names()) or "none"))
        dialogue.note("/sessions lists the autosaved ones")
        return
    dialogue.open(find_chat(argument, saved_first()))


def resume(dialogue: Dialogue, argument: str) -> None:
    """Lists the autosaved chats, or continues one of them."""
    if argument:
        dialogue.open(find_chat(argument, sessions_first()))
        return
    kept = chats_in(sessions_folder())
    current = dialogue.session.autosave.path if dialogue.session.autosave else None
    rows = [_session_row(path, is_current=path == current) for path in kept[:MAX_LISTED]]
    for line in columns(rows, right=(3,)).splitlines():
        dialogue.say(cut(line, dialogue.width))
    if len(kept) > len(rows):
        dialogue.note(f"and {counted(len(kept) - len(rows), 'older one')}")
    dialogue.note(f"in {sessions_folder()}" if kept else "no chat is saved yet")


def branch(dialogue: Dialogue, argument: str) -> None:
    """Lists the branches of this chat, or goes to one of them."""
    branches = dialogue.session.branches()
    if not branches:
        raise UsageError("there is no answer yet", "ask something first")
    if not argument:
        for number, each in enumerate(branches, 1):
            _show_branch(dialogue, number, each)
        return
    if not argument.isdecimal() or not 1 <= int(argument) <= len(branches):
        raise UsageError(f"there is no branch {argument}", "/branch lists them")
    chosen = branches[int(argument) - 1]
    dialogue.session.go_to(chosen)
    dialogue.show_last()
    dialogue.note("this is the current branch already" if chosen.is_current else "/back returns")


def _show_branch(dialogue: Dialogue, number: int, branch: Branch) -> None:
    turns = branch.conversation.turns
    mark = "*" if branch.is_current else " "
    count = f"{mark} {number:>2} {counted(len(turns), 'message'):>12}  "
    words = " > ".join(" ".join(turn.message.content.split()) for turn in turns[-2:])
    dialogue.say(
        (count, "bold" if branch.is_current else ""), cut(words, dialogue.width - len(count))
    )


def _session_row(path: Path, *, is_current: bool) -> tuple[str, ...]:
    mark = "*" if is_current else " "
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
    try:
        kept = read_session(path)
    except UsageError:
        return mark, path.stem, when, "", "(damaged)"
    return mark, path.stem, when, counted(len(kept.conversation.turns), "message"), kept.model or ""


def _chat_path(argument: str) -> Path:
    """The path of a chat: a bare name means a file in Lepton's own folder."""
    path = Path(argument).expanduser()
    is_bare = path.name == argument and not path.suffix
    return saved_folder() / f"{argument}.json" if is_bare else path
