"""A conversation with a model: ask, retry, undo, edit, continue, save and load.

The conversation changes only when there is an answer to store, so an error leaves it as it was. All
turns stay in a tree, which is saved to disk as it grows if `autosave` is set.
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

LARGER_CONTEXT_HINT = ", or open the model with a larger context (-c)"


@dataclass(frozen=True, slots=True)
class ContextUse:
    """Tokens of the whole prompt, of the context window, and of each message's text."""

    used: int
    size: int
    messages: tuple[int, ...]
    left_out: int  # oldest turns that did not fit into the last prompt


class Session:
    """A chat. Each answer is an iterator of events; closing it early keeps the partial answer.

    Setting `interrupt` (e.g. in a signal handler) ends the current answer.
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
        self._used: int | None = None  # tokens in the context window; None: not counted yet
        self._first: int | None = 0  # first turn in the prompt with 'drop-old'; None: unknown
        self._own_files: set[Path] = set()
        self._past: list[str | None] = []  # last turns of branches that were left, for `back`

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
        """Replaces the last question, or the `number`th from 1, and all that followed it."""
        before = self.conversation.until(self._question(number))
        self._first = None
        return self._answer(before.plus(Turn(Message("user", text))))

    def continue_last(self) -> Generator[Event]:
        """Continues the last answer exactly where it ended."""
        partial = self.conversation.last_answer
        if partial is None:
            raise UsageError("there is no answer to continue", "ask something first")
        if self.generation.constraint:
            message = "an answer with a required form cannot be continued"
            raise UsageError(message, "/retry asks again; -n is the limit of tokens")
        return self._answer(self.conversation.until(-1), self._resumable(partial))

    def question(self, number: int | None = None) -> str:
        """The text of the last question, or of the `number`th from 1."""
        return self.conversation.turns[self._question(number)].message.content

    # --- changing ---------------------------------------------------------------------------

    def undo(self, count: int = 1) -> tuple[Message, ...]:
        """Removes the last questions with their answers, and returns the questions.

        Raises UsageError, and removes none, if there are fewer than `count`.
        """
        conversation = self.conversation
        questions = conversation.questions
        if not questions:
            raise UsageError("there is nothing to undo")
        if not 1 <= count <= len(questions):
            asked = "1 question was" if len(questions) == 1 else f"{len(questions)} questions were"
            hint = f"/undo {len(questions)} removes all of them; /clear starts a new chat"
            raise UsageError(f"cannot undo {count} questions: only {asked} asked", hint)
        self._change(conversation.until(questions[-count]))
        return tuple(conversation.turns[at].message for at in questions[-count:])

    def back(self) -> bool:
        """Returns to the conversation before the last change; False if there is none."""
        if not self._past:
            return False
        self.conversation = self.tree.conversation(self._past.pop())
        self._used, self._first = None, None
        self._record(self.conversation)
        return True

    def branches(self) -> list[Branch]:
        """All branches of the chat, the oldest first."""
        return self.tree.branches(self.tree.add(self.conversation))

    def go_to(self, branch: Branch) -> None:
        """Continues from the end of another branch; `back` returns."""
        self._change(branch.conversation)

    def edit_answer(self, text: str) -> None:
        """Replaces the text of the last answer; `continue_last` continues the new text."""
        answer = self.conversation.last_answer
        if answer is None:
            raise UsageError("there is no answer to edit", "ask something first")
        edited = Turn(replace(answer.message, content=text), "interrupted")
        self._change(self.conversation.until(-1).plus(edited))

    def clear(self) -> None:
        """Removes all turns but not the system prompt."""
        self._change(Conversation(self.conversation.system))

    def set_system(self, text: str | None) -> None:
        self._change(replace(self.conversation, system=text))

    def switch(self, model: Model) -> None:
        """Continues with another model; the caller closes the former one."""
        self.model = model
        self.tree.forget_tokens()
        self._change(self.conversation.without_tokens())

    # --- saving -----------------------------------------------------------------------------

    def save(self, path: Path, *, overwrite: bool = False) -> None:
        """Writes the conversation. Raises UsageError if `path` is a file of another chat."""
        if not overwrite and path.exists() and path.resolve() not in self._own_files:
            raise UsageError(f"{path} exists and is not this chat", "/save -f replaces it")
        write_chat(path, SavedChat(self.conversation, self.model.name))
        self._own_files.add(path.resolve())

    def load(self, path: Path) -> str | None:
        """Continues a saved conversation; returns the name of the model it was with."""
        chat = read_chat(path)
        self._change(chat.conversation)
        self._own_files.add(path.resolve())
        return chat.model

    def resume(self, saved: SavedSession) -> str | None:
        """Continues an autosaved chat; returns its last question if that was not answered.

        New turns are appended to its file if `autosave` is set.
        """
        conversation, open_question = saved.conversation, None
        if conversation.turns and conversation.turns[-1].message.role == "user":
            open_question = conversation.turns[-1].message.content
            conversation = conversation.until(-1)
        if self.autosave is None:
            self._change(conversation)
        else:
            self.autosave = Autosave(saved.path.parent, saved)
            self.tree, self._past = saved.tree, []
            self.conversation, self._used, self._first = conversation, None, None
        return open_question

    def snapshot(self) -> str | None:
        """Stores the KV cache on disk, so that a resumed chat needs no prefill.

        Returns why it could not, or None.
        """
        is_saved = self.autosave is not None and self.autosave.path is not None
        return self.model.remember() if is_saved else None

    # --- the window -------------------------------------------------------------------------

    @property
    def used(self) -> int:
        """How many tokens of the context window the conversation uses."""
        if self._used is None:
            self._used = self._count()
        return self._used

    def context_use(self) -> ContextUse:
        counts = tuple(self._text_tokens(message) for message in self.messages)
        return ContextUse(self.used, self.model.context_size, counts, self._first or 0)

    def prompt(self, *, answer: bool = True) -> list[int]:
        """The conversation's token ids; with `answer`, including the header of the next answer."""
        return self._encode(self.conversation, answer=answer)

    def prompt_for(self, text: str) -> list[int]:
        """The token ids of the prompt if this question were asked."""
        return self._encode(self.conversation.plus(Turn(Message("user", text))))

    def _count(self) -> int:
        count = sum(self._text_tokens(message) for message in self.messages)
        if not self.conversation.turns:
            return count
        try:
            return len(self.prompt(answer=False))
        except LeptonError:  # the template refuses these messages; asking will report it
            return count

    def _text_tokens(self, message: Message) -> int:
        return len(self.model.tokenizer.encode(message.content, add_special=False))

    # --- answering --------------------------------------------------------------------------

    def _question(self, number: int | None = None) -> int:
        """The index in `turns` of the last question, or of the `number`th from 1."""
        questions = self.conversation.questions
        if not questions:
            raise UsageError("there is no question yet", "type a message first")
        if number is not None and not 1 <= number <= len(questions):
            raise UsageError(f"there is no question {number}", f"there are {len(questions)} so far")
        return questions[-1 if number is None else number - 1]

    def _answer(self, asked: Conversation, partial: Turn | None = None) -> Generator[Event]:
        answer, first = _Answer(partial or Turn(Message("assistant", ""))), self._first
        self._record(asked if partial is None else asked.plus(partial))
        try:
            ids, dropped = self._fit(asked, partial)
            for event in self.model.stream(ids, self.generation, self.interrupt):
                complete = _with_dropped(event, dropped)
                answer.take(complete)
                yield complete
        finally:
            self.interrupt.clear()
            if answer.has_content:
                self._replace(asked.plus(answer.turn))
                self._used = answer.done.stats.context_used if answer.done else None
            else:
                self._first = first
                self._record(self.conversation)

    def _encode(
        self, conversation: Conversation, partial: Turn | None = None, *, answer: bool = True
    ) -> list[int]:
        """The prompt's token ids. A partial answer is added by its token ids, else as text."""
        as_text = partial is not None and not partial.token_ids
        segments = self.model.template.render(
            (conversation.plus(partial) if partial and as_text else conversation).messages,
            add_generation_prompt=answer,
            enable_thinking=self.thinking,
            continue_last=as_text,
            variables=self.generation.template_variables,
        )
        ids = self.model.tokenizer.encode_segments(segments)
        return ids if partial is None else [*ids, *partial.token_ids]

    def _fit(self, asked: Conversation, partial: Turn | None) -> tuple[list[int], int]:
        """The prompt's token ids, and how many tokens of old turns were dropped.

        If turns must be dropped, they are dropped until half of the window is free, so that the
        cached prefix of the prompt stays valid for a while.
        """
        whole = self._encode(asked, partial)
        if self.generation.overflow != "drop-old":
            return whole, 0
        if self._first is None:
            self._first = (
                0 if len(whole) <= self._max_prompt else self._previous_first(asked, partial)
            )
        self._first, ids = self._drop_old(asked, partial, self._first)
        size = self.model.context_size
        if len(ids) >= size:
            raise ContextOverflowError(
                f"the last message alone gives a prompt of {counted(len(ids), 'token')}; "
                f"the context holds {size}",
                "shorten it" + (LARGER_CONTEXT_HINT if self.model.longest_context > size else ""),
            )
        return ids, len(whole) - len(ids)

    @property
    def _max_prompt(self) -> int:
        """The most prompt tokens that leave room for an answer."""
        size = self.model.context_size
        return size - min(self.generation.max_tokens or size, size // 4)

    def _previous_first(self, asked: Conversation, partial: Turn | None) -> int:
        """The first turn in the prompt of the question before this one.

        It depends only on the turns, so a resumed chat drops the same ones.
        """
        first = 0
        for question in asked.questions if partial else asked.questions[:-1]:
            first, _ = self._drop_old(asked.until(question + 1), None, first)
        return first

    def _drop_old(
        self, asked: Conversation, partial: Turn | None, first: int
    ) -> tuple[int, list[int]]:
        """The first turn, from `first` on, with which the prompt fits, and the prompt's ids.

        If nothing fits, only the last question.
        """
        limit, half = self._max_prompt, self.model.context_size // 2
        *earlier, last = [start for start in (0, *asked.questions[1:]) if start >= first]
        for start in earlier:
            ids = self._encode(asked.since(start), partial)
            if len(ids) <= limit:
                return start, ids
            limit = half
        return last, self._encode(asked.since(last), partial)

    def _resumable(self, partial: Turn) -> Turn:
        """The answer without end tokens and without a partial character, ready to be continued."""
        tokenizer, ids = self.model.tokenizer, list(partial.token_ids)
        while ids and ids[-1] in tokenizer.end_of_generation:
            ids.pop()
        message = partial.message
        while ids and _ends_inside_character(b"".join(map(tokenizer.token_bytes, ids))):
            ids.pop()
            message = replace(message, content=message.content.rstrip("\ufffd"))
        return Turn(message, partial.reason, tuple(ids))

    def _change(self, conversation: Conversation) -> None:
        self._replace(conversation)
        self._used, self._first = None, None

    def _replace(self, conversation: Conversation) -> None:
        """Changes the conversation; the old one can be restored with `back`."""
        had = [turn.message for turn in self.conversation.turns]
        if [turn.message for turn in conversation.turns[: len(had)]] != had:
            self._past.append(self.tree.add(self.conversation))
        self.conversation = conversation
        self._record(conversation)

    def _record(self, conversation: Conversation) -> None:
        end = self.tree.add(conversation)
        if self.autosave is not None:
            self.autosave.record(self.tree, end, self.model)


@dataclass(slots=True)
class _Answer:
    """The answer so far; `begun` is the partial answer that it continues, or empty."""

    begun: Turn
    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    done: Done | None = None

    def take(self, event: Event) -> None:
        if isinstance(event, Text):
            self.texts.append(event.text)
        elif isinstance(event, Reasoning):
            self.thoughts.append(event.text)
        elif isinstance(event, Done):
            self.done = event

    @property
    def has_content(self) -> bool:
        ended = self.done is not None and self.done.reason != "interrupted"
        return ended or bool(self.texts or self.thoughts)

    @property
    def turn(self) -> Turn:
        message = self.begun.message
        reasoning = "".join([message.reasoning or "", *self.thoughts])
        content = "".join([message.content, *self.texts])
        return Turn(
            Message("assistant", content, reasoning or None),
            "interrupted" if self.done is None else self.done.reason,
            self._token_ids(),
        )

    def _token_ids(self) -> tuple[int, ...]:
        """Empty (unknown) if the answer was interrupted or a stop string was cut off its text."""
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


def _ends_inside_character(data: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(data)
    return bool(decoder.getstate()[0])
