"""Reads messages in OpenAI's form, with calls of tools and their results."""

from collections.abc import Mapping
from typing import get_args

from lepton_cli.engine.library.json_values import STRICT, Plain
from lepton_cli.engine.text.messages import Message, Role, ToolCall
from quant.errors import UsageError

ROLES: dict[str, Role] = {role: role for role in get_args(Role)} | {"developer": "system"}
IGNORED = ("refusal", "annotations", "audio")  # fields that do not change the prompt
THOUGHTS = ("reasoning", "reasoning_content")
FIELDS = ("role", "content", "name", "tool_calls", "tool_call_id", *IGNORED, *THOUGHTS)


def read_messages(value: Plain) -> tuple[Message, ...]:
    """Messages in OpenAI's format. Raises UsageError for anything else."""
    if not isinstance(value, list) or not value:
        raise UsageError("messages must be a list with at least one message")
    messages, names = list[Message](), dict[str, str]()
    for number, each in enumerate(value, 1):
        message = _message(f"message {number}", each, names)
        names |= {call.id: call.name for call in message.calls}
        messages.append(message)
    return tuple(messages)


def _message(where: str, value: Plain, names: Mapping[str, str]) -> Message:
    """`names`: of the tools that earlier messages call, by the call's id."""
    if not isinstance(value, dict):
        raise UsageError(f"{where} is not an object")
    role, content = value.get("role"), value.get("content")
    if not isinstance(role, str) or role not in ROLES:
        raise UsageError(f"{where}: the role {role!r} is not one of {', '.join(ROLES)}")
    for name, each in value.items():
        if name not in FIELDS and each is not None:
            raise UsageError(f"{where}: {name} is not supported")
    thought = next((value[name] for name in THOUGHTS if value.get(name)), None)
    if thought is not None and not isinstance(thought, str):
        raise UsageError(f"{where}: its reasoning must be text")
    calls = _calls(where, value.get("tool_calls"))
    if calls and role != "assistant":
        raise UsageError(f"{where}: only an assistant's message has tool_calls")
    text = "" if calls and content is None else _content(where, content)
    if role != "tool":
        return Message(ROLES[role], text, thought, calls)
    call_id = _text(where, "tool_call_id", value.get("tool_call_id"))
    if call_id not in names:
        raise UsageError(f"{where}: no message before it calls a tool with the id {call_id!r:.60}")
    return Message("tool", text, call_id=call_id, name=names[call_id])


def _calls(where: str, value: Plain) -> tuple[ToolCall, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise UsageError(f"{where}: tool_calls must be a list")
    return tuple(_call(f"{where}, call {number}", each) for number, each in enumerate(value, 1))


def _call(where: str, value: Plain) -> ToolCall:
    function = value.get("function") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(function, dict):
        raise UsageError(f'{where} is not like {{"id": ..., "function": {{"name": ...}}}}')
    arguments = _text(where, "arguments", function.get("arguments", "{}"))
    try:
        is_object = isinstance(STRICT.decode(arguments), dict)
    except (ValueError, RecursionError):
        is_object = False
    if not is_object:
        raise UsageError(f"{where}: arguments is {arguments!r:.60}: it must be a JSON object")
    name, call_id = _text(where, "name", function.get("name")), _text(where, "id", value.get("id"))
    return ToolCall(call_id, name, arguments)


def _text(where: str, name: str, value: Plain) -> str:
    if not value or not isinstance(value, str):
        raise UsageError(f"{where}: {name} is {value!r:.60}: it must be text")
    return value


def _content(where: str, value: Plain) -> str:
    """Text, or a list of text parts joined by newlines."""
    if isinstance(value, str):
        return value
    parts = value if isinstance(value, list) else [value]
    texts = [part.get("text") if isinstance(part, dict) else None for part in parts]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise UsageError(f"{where}: its content must be text: Lepton sees no images")
    return "\n".join(map(str, texts))
