"""One conversation with a model: asks, answers again, takes back, goes on, saves and loads.

The conversation changes only when an answer is there to keep, so an error leaves it as it was. All
that was ever said stays in a tree, which is written to disk as it grows where `autosave` is set.
"""

import codecs
import threading
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path

from lepton_cli.engine.chat.autosave import Autosave, SavedSession
from lepton_cli.engine.chat.branches import Branch, Tree
from lepton_cli.engine.chat.conversation import Conversation, Turn
from lepton_cli.engine.chat.saved import SavedChat, read_chat, write_chat
from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.events import Done, Event, Reasoning, Text
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.model import Model
from lepton_cli.engine.text.messages import Message
from quant.errors import ContextOverflowError, LeptonError, UsageError

LARGER = ", or open the model with a larger context (-c)"


@dataclass(frozen=True, slots=True)
class ContextUse:
    """Tokens: of the whole prompt, of the window, and of each message's own words."""

    used: int
    size: int
    messages: tuple[int, ...]
    left_out: int  # turns, from the oldest, that the last prompt had no room for


class Session:
    """Each answer is an iterator of events; to leave it early keeps what was said so far.

    Setting `interrupt` (from a signal handler, say) ends the answer that is under way.
    """

    def __init__(
        self,
        model: Model,
        generation: Generation,
        system: str | None = None,
        *,
        thinking: bool = True,
    ) -> None:
        self.model = model
        self.generation = generation
        self.thinking = thinking
        self.interrupt = threading.Event()
        self.conversation = Conversation(system)
        self.tree = Tree()
        self.autosave: Autosave | None = None
        self._used: int | None = None  # tokens in the window; unknown until counted
        self._first: int | None = 0  # the oldest turn that 'drop-old' shows; None: to be found
        self._own_files: set[Path] = set()
        self._past: list[str | None] = []  # ends in the tree that were left, not only gone on from

    @property
    def messages(self) -> tuple[Message, ...]:
        return self.conversation.messages

    # --- asking -----------------------------------------------------------------------------

    def send(self, text: str) -> Generator[Event]:
        return self._answer(self.conversation.plus(Turn(Message("user", text))))

    def retry(self) -> Generator[Event]:
        """Answers the last question again."""
        return self._answer(self.conversation.until(self._question() + 1))

    def edit(self, text: str, number: int | None = None) -> Generator[Event]:
        """Asks the last question, or the `number`th from 1, anew; what followed it is gone."""
        before = self.conversation.until(self._question(number))
        return self._answer(before.plus(Turn(Message("user", text))))

    def continue_last(self) -> Generator[Event]:
        """Goes on with the last answer exactly where it ended."""
        partial = self.conversation.last_answer
        if partial is None:
            raise UsageError("there is no answer to go on with", "ask something first")
        if self.generation.constraint:
            message = "an answer of a given form cannot be gone on with"
            raise UsageError(message, "/retry asks again; -n is the limit of tokens")
        return self._answer(self.conversation.until(-1), self._resumable(partial))

    def question(self, number: int | None = None) -> str:
        """The words of the last question, or of the `number`th from 1."""
        return self.conversation.turns[self._question(number)].message.content

    # --- changing ---------------------------------------------------------------------------

    def undo(self, count: int = 1) -> tuple[Message, ...]:
        """Takes back the last questions with their answers, and returns the questions.

        Raises UsageError where there are not as many, and then takes back none.
        """
        conversation = self.conversation
        questions = conversation.questions
        if not questions:
            raise UsageError("there is nothing to take back")
        if not 1 <= count <= len(questions):
            asked = "1 question was" if len(questions) == 1 else f"{len(questions)} questions were"
            hint = f"/undo {len(questions)} takes back all of them; /clear forgets the chat"
            raise UsageError(f"{count} questions cannot be taken back: {asked} asked", hint)
        self._change(conversation.until(questions[-count]))
        return tuple(conversation.turns[at].message for at in questions[-count:])

    def back(self) -> bool:
        """The conversation as it was before its last turns were replaced; whether there was one."""
        if not self._past:
            return False
        self.conversation = self.tree.conversation(self._past.pop())
        self._used, self._first = None, None
        self._keep(self.conversation)
        return True

    def branches(self) -> list[Branch]:
        """All ways that the chat went, the oldest first."""
        return self.tree.branches(self.tree.grow(self.conversation))

    def go_to(self, branch: Branch) -> None:
        """Goes on there; `back` returns."""
        self._change(branch.conversation)

    def edit_answer(self, text: str) -> None:
        """Puts other words into the model's mouth; `continue_last` goes on from them."""
        answer = self.conversation.last_answer
        if answer is None:
            raise UsageError("there is no answer to edit", "ask something first")
        spoken = Turn(replace(answer.message, content=text), "interrupted")
        self._change(self.conversation.until(-1).plus(spoken))

    def clear(self) -> None:
        """Forgets all turns; the system text stays."""
        self._change(Conversation(self.conversation.system))

    def set_system(self, text: str | None) -> None:
        self._change(replace(self.conversation, system=text))

    def switch(self, model: Model) -> None:
        """Goes on with another model; closing the former one is the caller's."""
        self.model = model
        self.tree.forget_tokens()
        self._change(self.conversation.without_tokens())

    # --- saving -----------------------------------------------------------------------------

    def save(self, path: Path, *, overwrite: bool = False) -> None:
        """Writes the conversation. Raises UsageError where another file is in the place."""
        if not overwrite and path.exists() and path.resolve() not in self._own_files:
            raise UsageError(f"{path} exists and is not this chat", "/save -f replaces it")
        write_chat(path, SavedChat(self.conversation, self.model.name))
        self._own_files.add(path.resolve())

    def load(self, path: Path) -> str | None:
        """Goes on with a saved conversation; returns the name of the model that held it."""
        chat = read_chat(path)
        self._change(chat.conversation)
        self._own_files.add(path.resolve())
        return chat.model

    def resume(self, kept: SavedSession) -> str | None:
        """Goes on with a chat that was kept; gives its last question if that was not answered.

        What is said from now on is kept with it, if this session's words are kept at all.
        """
        conversation, open_question = kept.conversation, None
        if conversation.turns and conversation.turns[-1].message.role == "user":
            open_question = conversation.turns[-1].message.content
            conversation = conversation.until(-1)
        if self.autosave is None:
            self._change(conversation)
        else:
            self.autosave = Autosave(kept.path.parent, kept)
            self.tree, self._past = kept.tree, []
            self.conversation, self._used, self._first = conversation, None, None
        return open_question

    def snapshot(self) -> str | None:
        """Leaves the window's K and V on disk, so that a resumed chat need not be read again.

        Returns why it could not, if so.
        """
        is_kept = self.autosave is not None and self.autosave.path is not None
        return self.model.remember() if is_kept else None

    # --- the window -------------------------------------------------------------------------

    @property
    def used(self) -> int:
        """How many tokens of the window the conversation takes."""
        if self._used is None:
            self._used = self._count()
        return self._used

    def context_use(self) -> ContextUse:
        words = tuple(self._words(message) for message in self.messages)
        return ContextUse(self.used, self.model.context_size, words, self._first or 0)

    def prompt(self, *, answer: bool = True) -> list[int]:
        """The conversation's token ids; with `answer`, up to where the model is to speak."""
        return self._encode(self.conversation, answer=answer)

    def prompt_for(self, text: str) -> list[int]:
        """The token ids that asking this would give the model."""
        return self._encode(self.conversation.plus(Turn(Message("user", text))))

    def _count(self) -> int:
        words = sum(self._words(message) for message in self.messages)
        if not self.conversation.turns:
            return words
        try:
            return len(self.prompt(answer=False))
        except LeptonError:  # a template that refuses these messages says so when it is asked
            return words

    def _words(self, message: Message) -> int:
        return len(self.model.tokenizer.encode(message.content, add_special=False))

    # --- answering --------------------------------------------------------------------------

    def _question(self, number: int | None = None) -> int:
        """Where in the turns the last question is, or the `number`th from 1."""
        questions = self.conversation.questions
        if not questions:
            raise UsageError("nothing was asked yet", "type a message first")
        if number is not None and not 1 <= number <= len(questions):
            raise UsageError(f"there is no question {number}", f"there are {len(questions)} so far")
        return questions[-1 if number is None else number - 1]

    def _answer(self, asked: Conversation, partial: Turn | None = None) -> Generator[Event]:
        answer = _Answer(partial or Turn(Message("assistant", "")))
        self._keep(asked if partial is None else asked.plus(partial))
        try:
            ids, dropped = self._fitted(asked, partial)
            for event in self.model.stream(ids, self.generation, self.interrupt):
                told = _with_dropped(event, dropped)
                answer.take(told)
                yield told
        finally:
            self.interrupt.clear()
            if answer.is_worth_keeping:
                self._become(asked.plus(answer.turn))
                self._used = answer.done.stats.context_used if answer.done else None
            else:
                self._keep(self.conversation)

    def _encode(
        self, conversation: Conversation, partial: Turn | None = None, *, answer: bool = True
    ) -> list[int]:
        """A partial answer follows as its very tokens, or as its words where those are unknown."""
        in_words = partial is not None and not partial.token_ids
        segments = self.model.template.render(
            (conversation.plus(partial) if partial and in_words else conversation).messages,
            add_generation_prompt=answer,
            enable_thinking=self.thinking,
            continue_last=in_words,
        )
        ids = self.model.tokenizer.encode_segments(segments)
        return ids if partial is None else [*ids, *partial.token_ids]

    def _fitted(self, asked: Conversation, partial: Turn | None) -> tuple[list[int], int]:
        """The prompt's token ids, and how many tokens of old turns it leaves out.

        When turns must go, they go until half of the window is free: so the cached beginning of
        the prompt stays the same for a while.
        """
        whole = self._encode(asked, partial)
        if self.generation.overflow != "drop-old":
            return whole, 0
        if self._first is None:
            self._first = (
                0 if len(whole) <= self._most_shown else self._first_before(asked, partial)
            )
        self._first, ids = self._shown(asked, partial, self._first)
        size = self.model.context_size
        if len(ids) >= size:
            raise ContextOverflowError(
                f"the last message alone makes a prompt of {counted(len(ids), 'token')}; "
                f"the context holds {size}",
                "shorten it" + (LARGER if self.model.longest_context > size else ""),
            )
        return ids, len(whole) - len(ids)

    @property
    def _most_shown(self) -> int:
        """Tokens of a prompt that leave room for an answer."""
        size = self.model.context_size
        return size - min(self.generation.max_tokens or size, size // 4)

    def _first_before(self, asked: Conversation, partial: Turn | None) -> int:
        """The oldest turn that was shown with the question before this one.

        It follows from the turns alone, so a resumed chat leaves out what it would have anyway.
        """
        first = 0
        for question in asked.questions if partial else asked.questions[:-1]:
            first, _ = self._shown(asked.until(question + 1), None, first)
        return first

    def _shown(
        self, asked: Conversation, partial: Turn | None, first: int
    ) -> tuple[int, list[int]]:
        """The oldest turn from `first` on with which the prompt fits, and the prompt's ids.

        Of the last question alone, where not even that fits.
        """
        limit, half = self._most_shown, self.model.context_size // 2
        *earlier, last = [start for start in (0, *asked.questions[1:]) if start >= first]
        for start in earlier:
            ids = self._encode(asked.since(start), partial)
            if len(ids) <= limit:
                return start, ids
            limit = half
        return last, self._encode(asked.since(last), partial)

    def _resumable(self, partial: Turn) -> Turn:
        """The answer without an end token, and without half a character, so that it can go on."""
        tokenizer, ids = self.model.tokenizer, list(partial.token_ids)
        while ids and ids[-1] in tokenizer.end_of_generation:
            ids.pop()
        message = partial.message
        while ids and _ends_amid_character(b"".join(map(tokenizer.token_bytes, ids))):
            ids.pop()
            message = replace(message, content=message.content.rstrip("\ufffd"))
        return Turn(message, partial.reason, tuple(ids))

    def _change(self, conversation: Conversation) -> None:
        self._become(conversation)
        self._used, self._first = None, None

    def _become(self, conversation: Conversation) -> None:
        """What a person or the model said is never lost: see `back`."""
        had = [turn.message for turn in self.conversation.turns]
        if [turn.message for turn in conversation.turns[: len(had)]] != had:
            self._past.append(self.tree.grow(self.conversation))
        self.conversation = conversation
        self._keep(conversation)

    def _keep(self, conversation: Conversation) -> None:
        end = self.tree.grow(conversation)
        if self.autosave is not None:
            self.autosave.record(self.tree, end, self.model)


@dataclass(slots=True)
class _Answer:
    """What has been said of an answer so far; it begins with what is being gone on with."""

    begun: Turn
    words: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    done: Done | None = None

    def take(self, event: Event) -> None:
        if isinstance(event, Text):
            self.words.append(event.text)
        elif isinstance(event, Reasoning):
            self.thoughts.append(event.text)
        elif isinstance(event, Done):
            self.done = event

    @property
    def is_worth_keeping(self) -> bool:
        ended = self.done is not None and self.done.reason != "interrupted"
        return ended or bool(self.words or self.thoughts)

    @property
    def turn(self) -> Turn:
        message = self.begun.message
        reasoning = "".join([message.reasoning or "", *self.thoughts])
        content = "".join([message.content, *self.words])
        return Turn(
            Message("assistant", content, reasoning or None),
            "interrupted" if self.done is None else self.done.reason,
            self._token_ids(),
        )

    def _token_ids(self) -> tuple[int, ...]:
        """Unknown when the answer broke off, and where a stop string was cut out of the words."""
        begun = self.begun.message
        known = bool(self.begun.token_ids) or not (begun.content or begun.reasoning)
        if self.done is None or self.done.stop_string is not None or not known:
            return ()
        return (*self.begun.token_ids, *self.done.token_ids)


def _with_dropped(event: Event, dropped: int) -> Event:
    if not isinstance(event, Done):
        return event
    stats = replace(event.stats, dropped_tokens=event.stats.dropped_tokens + dropped)
    return replace(event, stats=stats)


def _ends_amid_character(data: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(data)
    return bool(decoder.getstate()[0])
