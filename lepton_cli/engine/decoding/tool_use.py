"""What a model is told of tools, and the calls in its answers."""

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol

from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.library.json_values import Plain
from lepton_cli.engine.text.messages import ToolCall
from lepton_cli.engine.text.tokenizer import Tokenizer
from quant.errors import UsageError

if TYPE_CHECKING:  # template engines are imported for the first tool
    from lepton_cli.engine.constraints.call_frame import CallFrame
    from lepton_cli.engine.text.template import ChatTemplate
    from lepton_cli.engine.text.tool_calls import CallForm

Tool = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolUse:
    """The tools that a prompt has, and those of which the answer must call one, by name.

    `one_call`: it may be one call only.
    """

    tools: tuple[Tool, ...] = ()
    must_call: tuple[str, ...] = ()
    one_call: bool = False

    @property
    def functions(self) -> list[Mapping[str, Any]]:
        return [tool["function"] for tool in self.tools]


class Speaker(Protocol):
    """A model with its tokenizer and its chat template, which is made when it is asked for."""

    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def template(self) -> "ChatTemplate": ...


class ToolCalling:
    """How a model calls tools: by its chat template."""

    def __init__(self, model: Speaker) -> None:
        self._model = model

    def asked(self, generation: Generation, use: ToolUse) -> Generation:
        """The settings for answers that may or must call tools. Raises UsageError."""
        if not use.tools:
            return generation
        if not self._model.template.takes_tools:
            message = "the chat template has no place for tools"
            raise UsageError(message, "take another model, or a --chat-template with tools")
        variables = {"tools": use.tools, **json.loads(generation.chat_template_kwargs or "{}")}
        generation = replace(generation, chat_template_kwargs=json.dumps(variables))
        if not use.must_call:
            return generation
        wanted = [each for each in use.functions if each["name"] in use.must_call]
        calls = self._frame.constraint(wanted, self._model.tokenizer, several=not use.one_call)
        return replace(generation, constraint=calls)

    def split(
        self, text: str, reasoning: str, ids: Sequence[int], use: ToolUse, prefix: str
    ) -> tuple[str, tuple[ToolCall, ...]]:
        """The text of an answer and its calls, whose marks may be tokens that the text lacks.

        Ids of calls are made from `prefix`.
        """
        if not use.tools:
            return text, ()
        from lepton_cli.engine.text.tool_calls import read_calls

        render = self._model.tokenizer.token_bytes
        pieces = [render(token, render_special=True) for token in ids]
        whole = b"".join(pieces).decode(errors="replace")
        begin = len(b"".join(pieces[: self._thought(reasoning, ids)]).decode(errors="replace"))
        found = read_calls(whole[begin:], self._form, use.functions, prefix)
        if not found.calls:
            return text, ()
        calls = found.calls[:1] if use.one_call else found.calls
        end = len(whole[: begin + found.begin].encode())
        before = bisect_left(list(accumulate(map(len, pieces), initial=0)), end)
        shown = self._model.tokenizer.decode(ids[:before])
        place = self._model.tokenizer.decode(ids).rfind(text)
        return text[: max(len(shown) - place, 0)].strip() if place >= 0 else "", calls

    def _thought(self, reasoning: str, ids: Sequence[int]) -> int:
        """With how many tokens the reasoning ends, whose text lacks control tokens.

        Where it is in several parts, at least its length is before the answer.
        """
        decode = self._model.tokenizer.decode
        end = max(decode(ids).find(reasoning), 0) + len(reasoning)
        return bisect_left(range(len(ids)), end, key=lambda count: len(decode(ids[:count])))

    @cached_property
    def _form(self) -> "CallForm | None":
        from lepton_cli.engine.text.tool_calls import call_form

        return call_form(self._model.template)

    @cached_property
    def _frame(self) -> "CallFrame":
        from lepton_cli.engine.constraints.call_frame import call_frame

        return call_frame(self._model.template)


def call_record(call: ToolCall) -> Plain:
    """A call in OpenAI's form."""
    function: Plain = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}
