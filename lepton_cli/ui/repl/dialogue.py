"""An interactive chat: its session, the display of answers, and the draft of the next input."""

import sys
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text as Line
from rich.theme import Theme as RichTheme

from lepton_cli.engine.chat.autosave import Autosave, is_session, read_session, sessions_folder
from lepton_cli.engine.chat.session import Session
from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.events import Done, Event, Prefill, Reasoning, Text
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.loading.memory import out_of_memory
from lepton_cli.engine.model import Model
from lepton_cli.engine.text.messages import Message
from lepton_cli.ui.arguments.options.chat import ReasoningMode
from lepton_cli.ui.terminal.background import ask_background
from lepton_cli.ui.terminal.interrupt import interrupting
from lepton_cli.ui.terminal.meter import level
from lepton_cli.ui.terminal.notes import note
from lepton_cli.ui.terminal.render import AnswerView, LiveView, PlainView
from lepton_cli.ui.terminal.screen import Screen, open_console
from lepton_cli.ui.terminal.terminal import redraws, sanitize, silent_keys
from lepton_cli.ui.terminal.theme import STYLES, Theme
from lepton_cli.ui.terminal.wrapping import wrap
from quant.errors import ContextOverflowError, LeptonError

LoadModel = Callable[[str], Model]
"""Opens a model by the path or name that the user typed."""


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """How a chat begins. `system` None: the system prompt of the loaded chat, if any."""

    generation: Generation
    system: str | None = None
    prompt: str | None = None  # the first message
    single_turn: bool = False  # exit after one answer
    resume: Path | None = None  # a saved or autosaved chat to continue
    plain: bool = False
    reasoning: ReasoningMode = "show"
    thinking: bool = True
    theme: Theme = "auto"
    history: bool = (
        True  # save the chat (from a pipe only if it is a resumed one) and the input history
    )


@dataclass(frozen=True, slots=True)
class Draft:
    """The initial text of the next input, and what sends it (None: a new message)."""

    text: str = ""
    send: Callable[[str], Generator[Event]] | None = None
    mark: str = "> "
    is_returned: bool = False  # sent but not answered: keep the reason visible


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that is put before the next message."""

    name: str
    text: str


def as_typed(text: str) -> str:
    """A message as it must be typed: a leading slash is doubled."""
    return f"/{text}" if text.startswith("/") else text


class Dialogue:
    """Shows a chat. Answers go to stdout; other text too if that is a terminal, else to stderr."""

    def __init__(
        self, model: Model, options: ChatOptions, load_model: LoadModel, *, by_hand: bool
    ) -> None:
        self.session = Session(model, options.generation, options.system, thinking=options.thinking)
        self.reasoning = options.reasoning
        self.draft = Draft()
        self.attachments: list[Attachment] = []
        self.saved_as: Path | None = None
        self.is_over = False
        self.last: Done | None = None
        self._load_model, self._by_hand = load_model, by_hand
        self._reported_failure: str | None = None
        self._reported_lost = False
        self.plain = options.plain or not (by_hand and redraws(sys.stdout))
        self._aside = sys.stdout if by_hand and sys.stdout.isatty() else sys.stderr
        self._console = open_console(self._aside, plain=self.plain)
        self.typed_ahead, self.awaits_report = "", False
        self.set_theme(options.theme)
        goes_on = options.resume is not None and is_session(options.resume)
        if options.history and (by_hand or goes_on):
            self.session.autosave = Autosave(sessions_folder())

    # --- saying -----------------------------------------------------------------------------

    @property
    def width(self) -> int:
        return self._console.width

    def say(self, *parts: str | tuple[str, str]) -> None:
        """Prints a line of texts or (text, style); control characters are removed."""
        pairs = [part if isinstance(part, tuple) else (part, "") for part in parts]
        line = Line.assemble(*((sanitize(text), style) for text, style in pairs))
        # a long path is not broken, so that it can be copied
        for row in wrap(line, self.width, fold=False) if self._aside.isatty() else [line]:
            self._console.print(row, soft_wrap=True)

    def set_theme(self, theme: Theme) -> None:
        """Sets the colours. `auto`: by the terminal's background; `none` without colour support."""
        self.theme = self.shown_theme = theme
        if self._console.no_color or self._console.color_system not in ("256", "truecolor"):
            self.shown_theme = "none"
        elif theme == "auto":
            self.shown_theme = self._theme_of_terminal()
        self._console.push_theme(RichTheme(STYLES[self.shown_theme]))

    def _theme_of_terminal(self) -> Theme:
        if not (sys.stdin.isatty() and self._aside.isatty()):
            return "none"
        report = ask_background(sys.stdin, self._aside)
        self.typed_ahead += report.typed
        self.awaits_report = not report.is_complete
        if report.is_light is None:
            return "none"
        return "light" if report.is_light else "dark"

    def note(self, text: str) -> None:
        if self._by_hand:
            self.say((text, "faint"))
        else:
            note(text)

    def send_control(self, sequence: str) -> bool:
        """Sends a control sequence of ours; False if the output is not a terminal."""
        if not redraws(self._aside):
            return False
        self._aside.write(sequence)
        self._aside.flush()
        return True

    def complain(self, error: LeptonError) -> None:
        self.say(("error: ", "failure"), error.message)
        if error.hint:
            self.say(("hint: ", "bold"), error.hint)

    # --- answering --------------------------------------------------------------------------

    def answer(self, events: Generator[Event]) -> bool:
        """Shows an answer to its end; returns whether it is part of the chat. Raises LeptonError.

        Ctrl-C ends it and keeps the partial answer; a second Ctrl-C also ends the chat.
        """
        before, view, done = self.session.conversation, self._view(), None
        try:
            with interrupting(self.session.interrupt), silent_keys(sys.stdin), closing(events):
                for event in events:
                    done = _show(event, view)
        except KeyboardInterrupt:
            self.is_over = True
            raise
        except ContextOverflowError as error:
            raise ContextOverflowError(error.message, OVERFLOW_HINT) from error
        except MemoryError as error:
            raise out_of_memory("not enough memory", MEMORY_HINT) from error
        finally:
            view.close()
        kept = self.session.conversation is not before
        if done is not None:
            self.last = done
            if kept:
                self._show_ending(done)
            else:
                self.note("interrupted before the answer began")
            if done.unmet:
                self.complain(done.unmet)
            self.snapshot()
            if not self.plain:
                self.say()  # an empty line between turns
        return kept

    def ask(self, text: str) -> None:
        """Sends a message; if it is not answered, it is returned to the input line."""
        draft, self.draft = self.draft, Draft()
        attached, self.attachments = self.attachments, []
        send = draft.send or self.session.send
        kept = False
        try:
            kept = self.answer(send("\n\n".join([*(file.text for file in attached), text])))
        except LeptonError as error:
            self.complain(error)
        if not kept:
            self.draft = Draft(as_typed(text), draft.send, draft.mark, is_returned=True)
            self.attachments = attached

    def open(self, path: Path) -> None:
        """Continues a saved or autosaved chat. On UsageError the present one stays."""
        if is_session(path):
            self.resume(path)
        else:
            self.load(path)

    def load(self, path: Path) -> None:
        """Continues a saved chat. On UsageError the present one stays."""
        held_with = self.session.load(path)
        self.saved_as = path
        count, name = len(self.session.conversation.turns), self.session.model.name
        with_other = f", held with {held_with}" if held_with not in (None, name) else ""
        held = f"{counted(count, 'message')}{with_other}"
        self.note(f"{path}: {held}; {counted(self.session.used, 'token')}")
        self.note_room()

    def resume(self, path: Path) -> None:
        """Continues an autosaved chat. On UsageError the present one stays."""
        kept = read_session(path, self.session.model.identity)
        question = self.session.resume(kept)
        count, name = len(self.session.conversation.turns), self.session.model.name
        with_other = f", held with {kept.model}" if kept.model not in (None, name) else ""
        damaged = f", {counted(kept.damaged, 'damaged line')} left out" if kept.damaged else ""
        if self._by_hand:
            self.show_last()
        held = f"{counted(count, 'message')}{with_other}{damaged}"
        self.note(f"{path.stem}: {held}; {counted(self.session.used, 'token')}")
        if kept.adapters and kept.adapters != self.session.model.adapters.saved():
            self.note("it was held with other adapters, or with other scales of them")
        self.note_room()
        if question is not None:
            self.draft = Draft(as_typed(question), is_returned=True)
            self.note(f"the last message was not answered{HANDED_BACK if self._by_hand else ''}")

    def show_last(self) -> None:
        """Shows the last question and answer of a continued chat."""
        for turn in self.session.conversation.turns[-2:]:
            if turn.message.role == "user":
                self.say(("> ", "mark"), turn.message.content)
            else:
                self.show_answer(turn.message)

    def show_answer(self, message: Message) -> None:
        """Shows a stored answer as when it was generated."""
        view = self._view()
        if message.reasoning:
            view.reasoning(message.reasoning)
        view.text(message.content)
        view.close()

    def snapshot(self) -> None:
        """Stores the KV cache on disk; reports once if that fails."""
        lost = self.session.snapshot()
        if lost and not self._reported_lost:
            self.note(lost)
            self._reported_lost = True
        failure = self.session.autosave.failure if self.session.autosave else None
        if failure not in (None, self._reported_failure):
            self.note(f"this chat is not being saved: {failure} (/save writes it elsewhere)")
        self._reported_failure = failure

    def note_saved(self) -> None:
        """Prints the command that resumes the chat."""
        if self.session.autosave and self.session.autosave.path:
            name = self.session.autosave.path.stem
            self.note(f"saved: lepton chat --resume {name}")

    def switch_model(self, name: str) -> None:
        """Continues the conversation with another model and closes the former one.

        On LeptonError, if the new model cannot be used for chat, the former one stays.
        """
        try:
            model = self._load_model(name)
        except MemoryError as error:
            raise out_of_memory(f"not enough memory for {name}", MEMORY_HINT) from error
        former = self.session.model
        try:
            text = model.template.note
        except LeptonError:
            model.close()
            raise
        self.session.switch(model)
        former.close()
        if text:
            self.note(text)
        self.note_room(former.context_size)

    def note_room(self, before: int | None = None) -> None:
        """Prints a note if the chat does not fit, or the context is smaller than `before`."""
        used, size = self.session.used, self.session.model.context_size
        is_smaller = before is not None and size < before
        if used < size and not (is_smaller and used):
            return
        limit = f"this context holds {size} tokens" + (f", not {before}" if is_smaller else "")
        if used < size:
            self.note(f"{limit}; the chat takes {used} of them")
        elif self.session.generation.overflow == "error":
            self.note(f"{limit}; the chat has {used}: {ROOM_HINT}")
        else:
            self.note(f"{limit}; the chat has {used}: the oldest turns are dropped")

    def note_template(self) -> None:
        text = self.session.model.template.note
        if text:
            self.note(text)

    def _view(self) -> AnswerView:
        aside = None if self.reasoning == "hide" else sys.stderr
        if self.plain:
            return PlainView(sys.stdout, self._aside if self.reasoning == "show" else aside)
        on_screen = self.reasoning == "show" or (aside is not None and aside.isatty())
        return LiveView(Screen(self._console), aside, show_thoughts=on_screen)

    def _show_ending(self, done: Done) -> None:
        """Shows how full the context is, the speed, and remarks about the answer."""
        stats, shown = done.stats, remarks(done)
        if stats.generated_tokens and stats.decode_seconds > 0:
            shown.insert(0, f"{stats.generated_tokens / stats.decode_seconds:.1f} tokens/s")
        used, size = self.session.used, stats.context_size
        rest = "".join(f" · {text}" for text in shown)
        self.say((f"{used}/{size}", level(used, size) or "faint"), (rest, "faint"))


ROOM_HINT = "/set overflow drop-old drops old turns; /undo and /clear make room"
HANDED_BACK = ": it is in the input line"
OVERFLOW_HINT = (
    "/set overflow drop-old drops old turns; /undo, /clear and /read none make room; "
    "your message is back in the input line (Ctrl-C clears it)"
)
MEMORY_HINT = "exit, and open it with a smaller context (-c)"
ENDINGS = {
    "length": "stopped at the token limit; /continue continues it",
    "context": "stopped: the context is full (/clear, /undo, or a larger -c)",
    "interrupted": "interrupted; /continue continues it",
}


def remarks(done: Done) -> list[str]:
    """Remarks about an answer that was cut, or whose prompt was shortened."""
    dropped = done.stats.dropped_tokens
    left_out = (
        [f"{counted(dropped, 'token')} at the beginning did not fit and were dropped"]
        if dropped
        else []
    )
    return left_out if done.reason == "stop" or done.unmet else [*left_out, ENDINGS[done.reason]]


def _show(event: Event, view: AnswerView) -> Done | None:
    match event:
        case Prefill(done, total):
            view.progress(done, total)
        case Reasoning(text):
            view.reasoning(text)
        case Text(text):
            view.text(text)
        case Done():
            return event
    return None
