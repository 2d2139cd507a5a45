"""Reads tools in OpenAI's form, and which of them an answer must call."""

from lepton_cli.engine.decoding.tool_use import Tool, ToolUse
from lepton_cli.engine.library.json_values import Plain
from quant.errors import UsageError

FORM = '{"type": "function", "function": {"name": ...}}'


def read_tools(tools: Plain, choice: Plain = None, parallel: Plain = None) -> ToolUse:
    """`choice`: OpenAI's tool_choice; `parallel`: its parallel_tool_calls. Raises UsageError."""
    found = _tools(tools)
    if not isinstance(parallel, bool | None):
        raise UsageError(f"parallel_tool_calls is {parallel!r:.60}: it must be true or false")
    if choice == "none":
        return ToolUse()
    names = tuple(tool["function"]["name"] for tool in found)
    if choice in (None, "auto"):
        return ToolUse(found, (), bool(found) and parallel is False)
    if choice == "required" and names:
        return ToolUse(found, names, parallel is False)
    function = choice.get("function") if isinstance(choice, dict) else None
    named = function.get("name") if isinstance(function, dict) else None
    if choice != "required" and not isinstance(named, str):
        message = f"the tool_choice is {choice!r:.60}"
        raise UsageError(message, f'it is "auto", "none", "required" or {FORM}')
    if named not in names:
        wanted = "a tool" if named is None else f"{named!r:.60}"
        known = f"the tools are {', '.join(names):.120}" if names else "there are no tools"
        raise UsageError(f"the tool_choice wants {wanted}, but {known}", "name one of the tools")
    return ToolUse(found, (str(named),), one_call=True)


def _tools(tools: Plain) -> tuple[Tool, ...]:
    if not isinstance(tools, list | None):
        raise UsageError(f"tools is {tools!r:.60}: it must be a list")
    for number, tool in enumerate(tools or (), 1):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise UsageError(f"tools: tool {number} is {tool!r:.60}, not like {FORM}")
        parameters = function.get("parameters")
        if not isinstance(parameters, dict | None):
            message = f"tools: the parameters of tool {number} are {parameters!r:.60}"
            raise UsageError(message, "they are a JSON schema, an object")
    return tuple(tool for tool in tools or () if isinstance(tool, dict))
