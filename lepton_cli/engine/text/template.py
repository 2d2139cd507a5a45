"""Chat templates: from messages to a prompt in which only the template's own words are trusted.

The file's own Jinja where it works; where it does not, or there is none, a built-in format that the
vocabulary tells, with a note. What a person wrote stays text whatever it looks like.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from lepton_cli.engine.text.fallback_templates import BUILT_IN, guess
from lepton_cli.engine.text.jinja.budget import Limits
from lepton_cli.engine.text.jinja.environment import strftime
from lepton_cli.engine.text.jinja.program import ChatTemplateError, Program
from lepton_cli.engine.text.jinja.provenance import segments, trusted
from lepton_cli.engine.text.messages import Message, Segment
from lepton_cli.engine.text.streaming import THINK, ReasoningFormat, opened_format, reasoning_format
from lepton_cli.engine.text.tokenizer import Tokenizer
from quant.errors import UsageError

KEY = "tokenizer.chat_template"
OWN, GIVEN = "the model's own", "the given one"
PROBE, SYSTEM_PROBE = "Zq7 question", "Zq7 rule"  # words that no template says itself
THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking")


class ChatTemplate:
    """A template that is known to render a plain question. Raises ChatTemplateError otherwise."""

    def __init__(
        self,
        name: str,
        source: str,
        tokenizer: Tokenizer,
        *,
        from_file: bool = False,
        note: str | None = None,
    ) -> None:
        """`from_file`: the model's file has a template, even if it is not this one."""
        self.name, self.source, self.from_file, self.note = name, source, from_file, note
        start = time.thread_time()
        self._program = Program(source)
        self._spent = time.thread_time() - start  # on the trials too: one limit for a whole start
        self._bos = _text(tokenizer, tokenizer.bos)
        self._eos = _text(tokenizer, tokenizer.eos)
        self._adds_bos, self._adds_eos = tokenizer.adds_bos, tokenizer.adds_eos
        self._takes_system, self._takes_text = True, True
        question = Message("user", PROBE)
        self._takes_text = self._shows(PROBE, [question])
        if not self._takes_text and not self._shows(PROBE, [question]):
            self._tried([question])  # tells what is wrong, if the template does
            raise ChatTemplateError("the chat template leaves out what a person says")
        self._takes_system = self._shows(SYSTEM_PROBE, [Message("system", SYSTEM_PROBE), question])
        opening = "".join(segment.text for segment in self._tried([question]))
        told = reasoning_format(source + opening)
        self.reasoning: ReasoningFormat | None = told or opened_format(opening)

    def render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        enable_thinking: bool = True,
        continue_last: bool = False,
        variables: Mapping[str, object] | None = None,
        now: datetime | None = None,
    ) -> list[Segment]:
        """The prompt, without a BOS or EOS that the tokenizer will add.

        `continue_last` leaves the last message, an answer, open: what the model has said of it so
        far follows the generation prompt. `variables` are for the template (llama.cpp's
        --chat-template-kwargs); `now` is the time that it is told. Raises ChatTemplateError when
        the template refuses the messages.
        """
        partial = None
        if continue_last:
            if not messages or messages[-1].role != "assistant":
                raise UsageError("the last message is no answer to go on with")
            *messages, partial = messages
        turns = messages if self._takes_system else _merge_system(messages)
        values = {
            "messages": [self._as_mapping(turn) for turn in turns],
            "bos_token": trusted(self._bos),
            "eos_token": trusted(self._eos),
            "add_generation_prompt": add_generation_prompt or continue_last,
            "enable_thinking": enable_thinking,
            "thinking": enable_thinking,  # what DeepSeek and Granite call it
            **_dates(now or datetime.now()),
            **(variables or {}),
        }
        characters = sum(len(turn.content) + len(turn.reasoning or "") for turn in turns)
        limits = Limits(spent=self._spent).grown(len(turns), characters)
        prompt = self._without_doubles(segments(self._program.run(values, limits)))
        return prompt if partial is None else [*prompt, *self._resumed(prompt, partial)]

    def _as_mapping(self, message: Message) -> dict[str, Any]:
        """Hugging Face's form; the role is our own word: templates may build a token from it."""
        thought, words = message.reasoning, message.content
        return {
            "role": trusted(message.role),
            "content": words if self._takes_text else [{"type": "text", "text": words}],
            **(dict.fromkeys(THOUGHT_FIELDS, thought) if thought else {}),
        }

    def _shows(self, words: str, messages: Sequence[Message]) -> bool:
        try:
            return any(words in segment.text for segment in self._tried(messages))
        except ChatTemplateError:
            return False

    def _tried(self, messages: Sequence[Message]) -> list[Segment]:
        start = time.thread_time()
        try:
            return self.render(messages)
        finally:
            self._spent += time.thread_time() - start

    def _without_doubles(self, prompt: list[Segment]) -> list[Segment]:
        """Without a BOS at the beginning and an EOS at the end that the tokenizer adds as well."""
        if prompt and prompt[0].trusted and self._adds_bos:
            prompt = [Segment(prompt[0].text.removeprefix(self._bos), True), *prompt[1:]]
        if prompt and prompt[-1].trusted and self._adds_eos:
            prompt = [*prompt[:-1], Segment(prompt[-1].text.removesuffix(self._eos), True)]
        return [segment for segment in prompt if segment.text]

    def _resumed(self, prompt: list[Segment], partial: Message) -> list[Segment]:
        """What the model has said of an answer, with the tags that its format puts in between."""
        tags = self.reasoning or THINK
        end = prompt[-1].text.rstrip() if prompt[-1].trusted else ""
        thought, words = partial.reasoning or "", partial.content
        opened = end.endswith(tags.thought)
        before = tags.opening if thought and not opened else ""
        between = tags.closing if thought or opened else tags.direct
        if not words or end.endswith(tags.answer):
            between = ""
        parts = [(before, True), (thought, False), (between, True), (words, False)]
        return [Segment(text, ours) for text, ours in parts if text]


def load_template(
    metadata: Mapping[str, object], tokenizer: Tokenizer, override: str | None = None
) -> ChatTemplate:
    """The file's template, or the one that `override` is or names; else a fallback with a note.

    Raises UsageError for an override that is no template: it was asked for, so nothing replaces it.
    """
    text = metadata.get(KEY)
    has_one = isinstance(text, str) and bool(text.strip())
    if override is not None:
        return _chosen(override, tokenizer, from_file=has_one)
    if not isinstance(text, str) or not has_one:
        return _fallback(tokenizer, "the file has no chat template", from_file=False)
    try:
        return _own(text, tokenizer)
    except ChatTemplateError as error:
        return _fallback(tokenizer, error.message, from_file=True)


def _own(text: str, tokenizer: Tokenizer) -> ChatTemplate:
    name = text.strip()
    if name in BUILT_IN:
        return ChatTemplate(name, BUILT_IN[name], tokenizer, from_file=True)
    if not _is_jinja(text):
        raise ChatTemplateError(f"{KEY} is {name:.60}, no Jinja and no format that Lepton knows")
    return ChatTemplate(OWN, text, tokenizer, from_file=True)


def _chosen(override: str, tokenizer: Tokenizer, *, from_file: bool) -> ChatTemplate:
    name = override.strip()
    if name in BUILT_IN:
        return ChatTemplate(name, BUILT_IN[name], tokenizer, from_file=from_file)
    if not _is_jinja(override):
        known = ", ".join(sorted(BUILT_IN))
        raise UsageError(f"no chat template is called {name:.60}", f"known are {known}, or Jinja")
    return ChatTemplate(GIVEN, override, tokenizer, from_file=from_file)


def _fallback(tokenizer: Tokenizer, reason: str, *, from_file: bool) -> ChatTemplate:
    name, sign = guess(tokenizer.special_texts)
    because = f" (its vocabulary has {sign})" if sign else ""
    note = f"{reason}; using the format {name}{because}"
    return ChatTemplate(name, BUILT_IN[name], tokenizer, from_file=from_file, note=note)


def _is_jinja(text: str) -> bool:
    return "{{" in text or "{%" in text


def _text(tokenizer: Tokenizer, token: int | None) -> str:
    return "" if token is None else tokenizer.token_text(token)


def _merge_system(messages: Sequence[Message]) -> list[Message]:
    """For templates that have no place for it: the system text before the first question."""
    if not messages or messages[0].role != "system":
        return list(messages)
    system, *rest = messages
    if rest and rest[0].role == "user":
        return [Message("user", f"{system.content}\n{rest[0].content}"), *rest[1:]]
    return [Message("user", system.content), *rest]


def _dates(now: datetime) -> dict[str, object]:
    """What llama.cpp's templates ask for, and Hugging Face's function."""
    layouts = {"date_string": "%d %b %Y", "datetime": "%b %d %Y"}
    told = {name: trusted(now.strftime(layout)) for name, layout in layouts.items()}
    return {**told, "strftime_now": partial(strftime, now)}
