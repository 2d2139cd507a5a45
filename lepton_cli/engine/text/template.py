"""Chat templates: render messages to a prompt in which only the template's text is trusted.

Uses the file's own Jinja if it works; otherwise, with a note, a built-in format chosen by the
vocabulary. Text of the user is never interpreted.
"""

import json
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property, partial
from typing import Any

from lepton_cli.engine.text.fallback_templates import BUILT_IN, guess
from lepton_cli.engine.text.jinja.budget import TemplateLimits
from lepton_cli.engine.text.jinja.environment import strftime
from lepton_cli.engine.text.jinja.program import ChatTemplateError, TemplateProgram
from lepton_cli.engine.text.jinja.provenance import segments, trusted
from lepton_cli.engine.text.messages import Message, Segment, ToolCall, with_fewer_systems
from lepton_cli.engine.text.streaming import THINK, ReasoningFormat, opened_format, reasoning_format
from lepton_cli.engine.text.tokenizer import Tokenizer
from quant.errors import UsageError

KEY = "tokenizer.chat_template"
OWN, GIVEN = "the model's own", "the given one"
PROBE, SYSTEM_PROBE = "Zq7 question", "Zq7 rule"  # words that do not occur in templates
CALL_PROBE = ToolCall("zq7call00", "zq7_tool", '{"zq7key": "zq7value"}')
PROPERTIES = {
    "zq7key": {"type": "string", "description": "Zq7 text"},
    "zq7more": {"type": "integer", "description": "Zq7 number"},
}
TOOL_PROBE = {  # has what some templates require: descriptions, and `required`
    "type": "function",
    "function": {
        "name": CALL_PROBE.name,
        "description": "Zq7 tool",
        "parameters": {"type": "object", "properties": PROPERTIES, "required": ["zq7key"]},
    },
}
THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking")


class ChatTemplate:
    """A template that renders at least a plain question. Raises ChatTemplateError otherwise."""

    def __init__(
        self,
        name: str,
        source: str,
        tokenizer: Tokenizer,
        *,
        from_file: bool = False,
        note: str | None = None,
        for_tools: "ChatTemplate | None" = None,
    ) -> None:
        """`from_file`: the model's file has a template, though perhaps not this one; `for_tools`
        is used instead of this one where there are tools.
        """
        self.name, self.source, self.from_file, self.note = name, source, from_file, note
        self._for_tools = for_tools
        start = time.thread_time()
        self._program = TemplateProgram(source)
        self._spent = (
            time.thread_time() - start
        )  # includes the test renderings: one limit for the whole start
        self._bos = _text(tokenizer, tokenizer.bos)
        self._eos = _text(tokenizer, tokenizer.eos)
        self._adds_bos, self._adds_eos = tokenizer.adds_bos, tokenizer.adds_eos
        self._takes_text = True
        question = Message("user", PROBE)
        self._takes_text = self._shows(PROBE, [question])
        if not self._takes_text and not self._shows(PROBE, [question]):
            self._tried([question])  # raises the template's own error, if any
            raise ChatTemplateError("the chat template drops the user's message")
        self.takes_system = self._shows(SYSTEM_PROBE, [Message("system", SYSTEM_PROBE), question])
        opening = _text_of(self._tried([question]))
        own = reasoning_format(source + opening)
        self.reasoning: ReasoningFormat | None = own or opened_format(opening)

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
        """The prompt, without the BOS or EOS that the tokenizer adds.

        `continue_last` leaves the last message, an answer, open: its text follows the generation
        prompt. `variables` are passed to the template (llama.cpp's --chat-template-kwargs); `now`
        is its time. Raises ChatTemplateError if the template refuses the messages.
        """
        partial = None
        if continue_last:
            if not messages or messages[-1].role != "assistant":
                raise UsageError("the last message is not an answer to continue")
            *messages, partial = messages
        values = {
            "add_generation_prompt": add_generation_prompt or continue_last,
            "enable_thinking": enable_thinking,
            "thinking": enable_thinking,  # the name in DeepSeek's and Granite's templates
            **_dates(now or datetime.now()),
            **(variables or {}),
        }
        chosen = self._for_tools if self._for_tools and values.get("tools") else self
        prompt = self._without_doubles(chosen.run(messages, values))
        return prompt if partial is None else [*prompt, *self._resumed(prompt, partial)]

    def run(self, messages: Sequence[Message], values: Mapping[str, object]) -> list[Segment]:
        """The whole prompt, with BOS and EOS if the template writes them. Raises
        ChatTemplateError.
        """
        has_calls = any(message.calls for message in messages)
        return self._run(self._taken(messages), values, has_calls and self._wants_text_arguments)

    def _run(
        self, turns: Sequence[Message], values: Mapping[str, object], text_arguments: bool = False
    ) -> list[Segment]:
        texts = {"bos_token": trusted(self._bos), "eos_token": trusted(self._eos)}
        mappings = [self._as_mapping(turn, text_arguments) for turn in turns]
        size = sum(map(_size, turns)) + len(json.dumps(values.get("tools")))
        limits = TemplateLimits(spent=self._spent).grown(len(turns), size)
        return segments(self._program.run({"messages": mappings, **texts, **values}, limits))

    @cached_property
    def takes_later_systems(self) -> bool:
        """Whether system messages may be several, and anywhere."""
        rules = [f"{SYSTEM_PROBE} {number}" for number in "ABC"]
        first, second, later = (Message("system", rule) for rule in rules)
        talk = [Message("user", PROBE), Message("assistant", PROBE)]
        return all(self._shows(rule, [first, second, *talk, later, talk[0]]) for rule in rules)

    @cached_property
    def takes_tools(self) -> bool:
        """Whether a prompt tells the model which tools it may call."""
        chosen = self._for_tools or self
        return chosen._shows(CALL_PROBE.name, [Message("user", PROBE)], [TOOL_PROBE])

    @cached_property
    def _wants_text_arguments(self) -> bool:
        """Whether arguments of calls must be given as text: most templates want an object."""
        return not self._shows_arguments(False) and self._shows_arguments(True)

    def _shows_arguments(self, text_arguments: bool) -> bool:
        talk = [Message("user", PROBE), Message("assistant", "", calls=(CALL_PROBE,))]
        try:
            shown = _text_of(self._tried(talk, text_arguments=text_arguments))
        except ChatTemplateError:
            return False
        return all(word in shown for word in ("zq7key", "zq7value")) and "'zq7key'" not in shown

    def _taken(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The messages with system messages only where the template takes them."""
        places = [i for i, message in enumerate(messages) if message.role == "system"]
        if places and not self.takes_system:
            return with_fewer_systems(messages, most=0)
        if places in ([], [0]) or self.takes_later_systems:
            return messages
        return with_fewer_systems(messages, most=1)

    def _as_mapping(self, message: Message, text_arguments: bool) -> dict[str, Any]:
        """A message in Hugging Face's form; the role is trusted text for tokens."""
        thought, words = message.reasoning, message.content
        calls = [_call_mapping(call, text_arguments) for call in message.calls]
        named = {"tool_call_id": message.call_id, "name": message.name}
        return {
            "role": trusted(message.role),
            "content": words if self._takes_text else [{"type": "text", "text": words}],
            **(dict.fromkeys(THOUGHT_FIELDS, thought) if thought else {}),
            **({"tool_calls": calls} if calls else {}),
            **{name: value for name, value in named.items() if value is not None},
        }

    def _shows(self, words: str, messages: Sequence[Message], tools: Sequence[object] = ()) -> bool:
        try:
            return words in _text_of(self._tried(messages, tools))
        except ChatTemplateError:
            return False

    def _tried(
        self,
        messages: Sequence[Message],
        tools: Sequence[object] = (),
        *,
        text_arguments: bool = False,
    ) -> list[Segment]:
        start = time.thread_time()
        values: dict[str, object]
        values = {"add_generation_prompt": True, "enable_thinking": True, "thinking": True}
        values |= {"tools": tools} if tools else {}
        try:
            return self._run(messages, {**values, **_dates(datetime.now())}, text_arguments)
        finally:
            self._spent += time.thread_time() - start

    def _without_doubles(self, prompt: list[Segment]) -> list[Segment]:
        """The prompt without BOS and EOS, which the tokenizer adds."""
        if prompt and prompt[0].trusted and self._adds_bos:
            prompt = [Segment(prompt[0].text.removeprefix(self._bos), True), *prompt[1:]]
        if prompt and prompt[-1].trusted and self._adds_eos:
            prompt = [*prompt[:-1], Segment(prompt[-1].text.removesuffix(self._eos), True)]
        return [segment for segment in prompt if segment.text]

    def _resumed(self, prompt: list[Segment], partial: Message) -> list[Segment]:
        """The prompt with a partial answer, and the reasoning tags of the format."""
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
    """The file's template, or `override` (a name or Jinja), else a built-in one with a note.

    Raises UsageError for an override that is not a template; it is never replaced silently.
    """
    text = metadata.get(KEY)
    has_one = isinstance(text, str) and bool(text.strip())
    if override is not None:
        return _chosen(override, tokenizer, from_file=has_one)
    if not isinstance(text, str) or not has_one:
        return _fallback(tokenizer, "the file has no chat template", from_file=False)
    try:
        return _own(text, tokenizer, metadata.get(f"{KEY}.tool_use"))
    except ChatTemplateError as error:
        return _fallback(tokenizer, error.message, from_file=True)


def _own(text: str, tokenizer: Tokenizer, for_tools: object) -> ChatTemplate:
    name = text.strip()
    if name in BUILT_IN:
        return ChatTemplate(name, BUILT_IN[name], tokenizer, from_file=True)
    if not _is_jinja(text):
        raise ChatTemplateError(
            f"{KEY} is {name:.60}, neither Jinja nor a format that Lepton knows"
        )
    try:
        other = ChatTemplate(OWN, for_tools, tokenizer) if isinstance(for_tools, str) else None
    except ChatTemplateError as error:
        note = f"{KEY}.tool_use is not used: {error.message}"
        return ChatTemplate(OWN, text, tokenizer, from_file=True, note=note)
    return ChatTemplate(OWN, text, tokenizer, from_file=True, for_tools=other)


def _chosen(override: str, tokenizer: Tokenizer, *, from_file: bool) -> ChatTemplate:
    name = override.strip()
    if name in BUILT_IN:
        return ChatTemplate(name, BUILT_IN[name], tokenizer, from_file=from_file)
    if not _is_jinja(override):
        known = ", ".join(sorted(BUILT_IN))
        raise UsageError(
            f"no chat template is called {name:.60}", f"known names: {known}; or give Jinja"
        )
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


def _text_of(prompt: Sequence[Segment]) -> str:
    return "".join(segment.text for segment in prompt)


def _size(message: Message) -> int:
    """Its characters, which the template's limits grow with."""
    calls = sum(len(call.name) + len(call.arguments) for call in message.calls)
    return len(message.content) + len(message.reasoning or "") + calls


def _call_mapping(call: ToolCall, text_arguments: bool) -> dict[str, Any]:
    arguments = call.arguments if text_arguments else json.loads(call.arguments)
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def _dates(now: datetime) -> dict[str, object]:
    """The date variables of llama.cpp, and Hugging Face's strftime_now."""
    layouts = {"date_string": "%d %b %Y", "datetime": "%b %d %Y"}
    dates = {name: trusted(now.strftime(layout)) for name, layout in layouts.items()}
    return {**dates, "strftime_now": partial(strftime, now)}
