"""How a conversation is shown, kept and rendered."""

from dataclasses import dataclass
from typing import Annotated, Literal

from lepton_cli.ui.arguments.completing import complete_chat
from lepton_cli.ui.arguments.options.groups import section
from lepton_cli.ui.arguments.options.prompt import Escape
from lepton_cli.ui.terminal.theme import Theme

ReasoningMode = Literal["show", "hide", "stderr"]

_prompt = section("Prompt")
_output = section("Output")


@dataclass(frozen=True, slots=True)
class ReplOptions:
    """How a chat begins, and what is saved."""

    prompt: Annotated[
        str | None,
        _prompt(
            "--prompt",
            "-p",
            metavar="TEXT",
            help=r"The first message; escapes such as \n are expanded.",
        ),
    ] = None
    escape: Escape = True
    single_turn: Annotated[
        bool, _prompt("--single-turn", "-st", help="End the chat after one answer.")
    ] = False
    load: Annotated[
        str | None,
        _prompt(
            "--load",
            metavar="NAME",
            help="Continue a chat, by its name or its file.",
            autocompletion=complete_chat,
        ),
    ] = None
    resume: Annotated[
        str | None,
        _prompt(
            "--resume",
            metavar="[NAME]",
            help="Continue the latest chat, or the one called NAME.",
            autocompletion=complete_chat,
        ),
    ] = None
    history: Annotated[
        bool,
        _prompt(
            *("--history/--no-history", "--save/--no-save"),
            help="Save the chat (for --resume) and the input history.",
        ),
    ] = True
    plain: Annotated[
        bool,
        _output("--plain", help="Plain text: no Markdown, no redrawing (for screen readers)."),
    ] = False


@dataclass(frozen=True, slots=True)
class ConversationOptions:
    """System prompt, chat template and reasoning."""

    system_prompt: Annotated[
        str | None, _prompt("--system-prompt", "-sys", metavar="TEXT", help="The system prompt.")
    ] = None
    system_prompt_file: Annotated[
        str | None,
        _prompt(
            "--system-prompt-file", "-sysf", metavar="FILE", help="The system prompt from a file."
        ),
    ] = None
    chat_template: Annotated[
        str | None,
        _prompt(
            "--chat-template",
            metavar="TEMPLATE",
            help="A template to use instead of the model's own: a name, or Jinja text.",
        ),
    ] = None
    chat_template_file: Annotated[
        str | None,
        _prompt("--chat-template-file", metavar="FILE", help="The template from a file."),
    ] = None
    think: Annotated[
        bool, _prompt("--think/--no-think", help="Let a reasoning model think before it answers.")
    ] = True
    chat_template_kwargs: Annotated[
        str | None,
        _prompt("--chat-template-kwargs", metavar="JSON", help="Variables for the template."),
    ] = None
    reasoning_effort: Annotated[
        str | None,
        _prompt("--reasoning-effort", metavar="LEVEL", help="How much to think: low, high, ..."),
    ] = None
    reasoning_preserve: Annotated[
        bool | None,
        _prompt(
            "--reasoning-preserve/--no-reasoning-preserve",
            help="Show a model the reasoning of its earlier answers.  [default: as its template]",
        ),
    ] = None
    reasoning: Annotated[
        ReasoningMode | None,
        _output(
            "--reasoning",
            help="Where to print the reasoning. [default: show in chat, stderr in run]",
        ),
    ] = None
    theme: Annotated[
        Theme, _output("--theme", help="Colours for this background; auto: ask the terminal.")
    ] = "auto"
    no_color: Annotated[bool, _output("--no-color", help="No colours, like --theme none.")] = False
