"""Makes tools from the options `--tools` and `--tool-choice`."""

from lepton_cli.engine.decoding.tool_use import ToolUse
from lepton_cli.engine.jobs.openai.tools import read_tools
from lepton_cli.engine.library.json_values import STRICT, Plain
from lepton_cli.engine.text.reading import read_text
from lepton_cli.ui.arguments.constraints import constraint_of
from lepton_cli.ui.arguments.options.answer import AnswerOptions
from lepton_cli.ui.arguments.options.prompt import RunOptions
from quant.errors import UsageError


def tool_use(how: RunOptions, answer: AnswerOptions) -> ToolUse | None:
    """The tools; None without any. Raises UsageError, before the model is loaded."""
    if how.tools is None:
        if how.tool_choice is not None:
            raise UsageError(f"--tool-choice {how.tool_choice} needs tools", "add --tools FILE")
        return None
    _check_alone(how, answer)
    text = read_text(how.tools)
    try:
        use = read_tools(_json_of(text), _choice(how.tool_choice))
    except UsageError as error:
        raise UsageError(f"{how.tools}: {error.message}", error.hint) from error
    return use if use.tools else None


def _choice(choice: str | None) -> Plain:
    known = (None, "auto", "none", "required")
    return choice if choice in known else {"type": "function", "function": {"name": choice}}


def _json_of(text: str) -> Plain:
    try:
        tools: Plain = STRICT.decode(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"it is not JSON: {error}", "give a list of tools") from error
    return tools


def _check_alone(how: RunOptions, answer: AnswerOptions) -> None:
    given = {
        "--raw": how.raw,
        "--extract": how.extract or how.extract_last,
        "--candidates": how.candidates > 1,
        "--beams": how.beams > 0,
        "a constraint (such as --json-schema)": constraint_of(answer) is not None,
    }
    for option in (name for name, is_given in given.items() if is_given):
        raise UsageError(f"--tools cannot be combined with {option}", "leave one of them out")
