"""The input line: several lines, history, search, completion, and a context meter below."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import Condition, has_focus
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input.typeahead import store_typeahead
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding import KeyBindings, KeyPress, KeyPressEvent
from prompt_toolkit.output import ColorDepth, create_output
from prompt_toolkit.styles import Style

from lepton_cli.engine.library.paths import private_file, state_folder
from lepton_cli.engine.text.reading import unmarked
from lepton_cli.ui.repl.dialogue import Dialogue, Draft
from lepton_cli.ui.repl.folding import Folds
from lepton_cli.ui.repl.slash_commands import COMMANDS, find_command
from lepton_cli.ui.terminal.background import LateAnswers
from lepton_cli.ui.terminal.meter import PROMPT_STYLES, level
from lepton_cli.ui.terminal.terminal import keys_wait, sanitize
from lepton_cli.ui.terminal.theme import STYLES
from quant.errors import UsageError

BLOCK = '"""'
NOT_SAVED = "the input history is not being saved"
OTHER_STYLES = {
    "completion-menu.completion.current": "noreverse fg:#ffffff bg:#000000",
    **PROMPT_STYLES,
}


class LineEditor:
    """Reads the next input, starting with the dialogue's draft."""

    def __init__(self, dialogue: Dialogue, *, history: bool) -> None:
        self._dialogue = dialogue
        self._folds = Folds()
        self._reported_lost = False
        stream = sys.stdout if sys.stdout.isatty() else sys.stderr
        is_command = Condition(lambda: get_app().current_buffer.text.startswith("/"))
        self._session: PromptSession[str] = PromptSession(
            self._mark,
            multiline=True,
            history=self._history(kept=history),
            key_bindings=self._keys(),
            completer=CommandCompleter(),
            complete_while_typing=is_command & Condition(lambda: not dialogue.plain),
            prompt_continuation=lambda width, line, wraps: "" if wraps else ". ".rjust(width),
            bottom_toolbar=None if dialogue.plain else self._meter,
            input_processors=[self._folds],
            tempfile_suffix=".md",
            enable_suspend=True,
            reserve_space_for_menu=6,
            include_default_pygments_style=False,
            output=create_output(stream),
        )

    def read(self) -> str:
        """The next message or command. Raises EOFError for Ctrl-D, KeyboardInterrupt."""
        draft = self._dialogue.draft
        text = draft.text
        if draft.is_returned:
            text = self._folds.fold(text, self._dialogue.width)
        if text and (self._dialogue.typed_ahead or keys_wait(sys.stdin)):
            text += "\n"  # text typed ahead is a separate line
        self._take_theme()
        self._take_typed_ahead()
        typed = self._folds.expand(message_of(self._session.prompt(default=text)))
        self._note_lost()
        return typed

    def _take_theme(self) -> None:
        """Applies the theme at each prompt, since `/set theme` may change it."""
        theme = self._dialogue.shown_theme
        has_colors = theme != "none"
        styles = STYLES[
            theme if has_colors else "dark"
        ]  # prompt-toolkit's monochrome mode drops colours
        self._session.style = Style.from_dict({"mark": styles["mark"], **OTHER_STYLES})
        self._session.color_depth = None if has_colors else ColorDepth.MONOCHROME

    def _take_typed_ahead(self) -> None:
        """Takes over keys typed while the terminal's background was queried."""
        keys = list[KeyPress]()
        parser = Vt100Parser(keys.append)
        parser.feed(self._dialogue.typed_ahead)
        parser.flush()
        store_typeahead(self._session.input, keys)
        if self._dialogue.awaits_report:
            terminal: Any = self._session.input
            terminal.stdin_reader = LateAnswers(terminal.stdin_reader)
        self._dialogue.typed_ahead, self._dialogue.awaits_report = "", False

    def _mark(self) -> StyleAndTextTuples:
        return [("class:mark", self._dialogue.draft.mark)]

    def _is_folded(self) -> bool:
        return self._folds.has_any(get_app().current_buffer.text)

    def _meter(self) -> StyleAndTextTuples:
        session = self._dialogue.session
        used, size = session.used, session.model.context_size
        files = "".join(f" · +{file.name}" for file in self._dialogue.attachments)
        editing = " · Ctrl-C cancels" if self._dialogue.draft.send else ""
        if self._is_folded():
            editing += " · Tab unfolds the text"
        about = sanitize(f" · {session.model.name}{files}{editing} · /help")
        return [("", " "), (f"class:{level(used, size)}", f"{used}/{size}"), ("", about)]

    def _history(self, *, kept: bool) -> History:
        if not kept:
            return BriefHistory(self._folds.expand)
        try:
            path = private_file(state_folder() / "history")
        except UsageError as error:
            self._dialogue.note(f"{NOT_SAVED}: {error.message}; {error.hint}")
            return BriefHistory(self._folds.expand)
        return SavedHistory(str(path), self._folds.expand)

    def _note_lost(self) -> None:
        """Reports once that the history cannot be saved (e.g. a full disk)."""
        history = self._session.history
        if isinstance(history, SavedHistory) and history.lost and not self._reported_lost:
            self._dialogue.note(f"{NOT_SAVED}: {history.lost}")
            self._reported_lost = True

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        typing = has_focus(DEFAULT_BUFFER)

        @keys.add("enter", filter=typing)
        def send(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            if not is_unfinished(buffer.text):
                buffer.validate_and_handle()
                return
            if buffer.document.char_before_cursor == "\\":
                buffer.delete_before_cursor()
            buffer.insert_text("\n")

        @keys.add("escape", "enter", filter=typing)
        def begin_line(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        def unfold(buffer: Buffer) -> None:
            whole = self._folds.expand(buffer.text)
            if whole != buffer.text:
                buffer.document = Document(whole)

        @keys.add("tab", filter=typing & Condition(self._is_folded))
        def show_whole(event: KeyPressEvent) -> None:
            unfold(event.current_buffer)

        @keys.add("c-x", "c-e", filter=typing)
        def open_editor(event: KeyPressEvent) -> None:
            """Edits the line in an editor; the text returns to the line and is not sent."""
            unfold(event.current_buffer)
            event.current_buffer.open_in_editor()

        @keys.add("c-c", filter=typing)
        @keys.add("<sigint>")
        def clear(event: KeyPressEvent) -> None:
            if event.current_buffer.text or self._dialogue.draft.send:
                self._dialogue.draft = Draft()
                event.current_buffer.reset()
            else:
                event.app.exit(exception=KeyboardInterrupt)

        return keys


class BriefHistory(InMemoryHistory):
    """A history in memory; `expand` gives the whole text of a line with folds."""

    def __init__(self, expand: Callable[[str], str]) -> None:
        super().__init__()
        self._expand = expand

    def append_string(self, string: str) -> None:
        super().append_string(self._expand(string))


class SavedHistory(FileHistory):
    """A history in a file. Entries may have several lines; repeated ones are stored once."""

    def __init__(self, path: str, expand: Callable[[str], str]) -> None:
        super().__init__(path)
        self._expand = expand
        self.lost = ""  # why an entry could not be saved

    def append_string(self, string: str) -> None:
        whole = self._expand(string)
        if self.get_strings()[-1:] != [whole]:
            super().append_string(whole)

    def store_string(self, string: str) -> None:
        try:
            super().store_string(message_of(string))
        except OSError as error:  # a full disk must not end the chat
            self.lost = error.strerror or str(error)


class CommandCompleter(Completer):
    """Completes commands, their arguments and files, from the table of commands."""

    def __init__(self) -> None:
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Completion]:
        before = document.text_before_cursor
        if not before.startswith("/") or before.startswith("//") or "\n" in before:
            return
        word, space, argument = before[1:].partition(" ")
        if space:
            yield from self._arguments(word, argument, event)
            return
        for command in COMMANDS:
            if any(name.startswith(word) for name in (command.name, *command.aliases)):
                usage = f"/{command.name} {command.arguments}"
                yield Completion(f"/{command.name}", -len(before), usage, command.help)

    def _arguments(self, word: str, argument: str, event: CompleteEvent) -> Iterator[Completion]:
        try:
            command = find_command(word)
        except UsageError:
            return
        for whole in command.completions():
            if whole.startswith(argument) and whole != argument:
                yield Completion(whole, -len(argument))
        if command.files:
            yield from self._paths.get_completions(Document(argument), event)


def is_unfinished(text: str) -> bool:
    """Whether Enter begins a new line: after a backslash, or in an open block."""
    bare = text.strip()
    is_closed = len(bare) >= 2 * len(BLOCK) and bare.endswith(BLOCK)
    return text.endswith("\\") or (bare.startswith(BLOCK) and not is_closed)


def message_of(typed: str) -> str:
    """The message without block marks and invalid characters."""
    text = unmarked(typed.encode("utf-8", "replace").decode("utf-8").rstrip().lstrip("\n"))
    if text.startswith(BLOCK) and text.endswith(BLOCK) and len(text) >= 2 * len(BLOCK):
        return text[len(BLOCK) : -len(BLOCK)].strip("\n")
    return text
