"""A chat template, compiled once and rendered under limits; errors are one line."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Template
from jinja2.exceptions import TemplateError, TemplateSyntaxError

from lepton_cli.engine.text.jinja.budget import Budget, TemplateLimits
from lepton_cli.engine.text.jinja.environment import RefusalError, Sandbox
from quant.errors import UsageError

MAX_SOURCE = 100_000  # characters; published templates have up to 17 thousand
MAX_MESSAGE = 300
HINT = "--chat-template NAME uses another one"
FAILURES = (
    *(TemplateError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError),
    *(RuntimeError, SyntaxError, NameError, AssertionError),  # RecursionError is a RuntimeError
)


class ChatTemplateError(UsageError):
    """A chat template that does not compile, does not render, or refuses the messages."""


class TemplateProgram:
    """A compiled template. Raises ChatTemplateError for invalid source or a failed rendering."""

    def __init__(self, source: str) -> None:
        if len(source) > MAX_SOURCE:
            raise ChatTemplateError(f"the chat template is longer than {MAX_SOURCE} characters")
        try:
            self._code = Sandbox(Budget(TemplateLimits())).compile(source)
        except TemplateSyntaxError as error:
            raise ChatTemplateError(f"chat template, line {error.lineno}: {_line(error)}") from None
        except (*FAILURES, MemoryError) as error:
            raise ChatTemplateError(f"the chat template does not compile: {_line(error)}") from None

    def run(self, variables: Mapping[str, Any], limits: TemplateLimits) -> str:
        """The rendered text, which tracks its origin."""
        sandbox = Sandbox(Budget(limits))
        try:
            template = Template.from_code(sandbox, self._code, sandbox.globals)
            context = template.new_context(dict(variables))
            return sandbox.concat(template.root_render_func(context))
        except RefusalError as refusal:
            raise ChatTemplateError(f"the chat template refuses: {_line(refusal)}", HINT) from None
        except FAILURES as error:
            raise ChatTemplateError(f"the chat template fails: {_line(error)}", HINT) from None


def _line(error: BaseException) -> str:
    if isinstance(error, TemplateError):  # its message is readable
        words = error.message or ""
    elif isinstance(error, RecursionError):
        words = "it is nested too deeply"
    else:
        words = f"{type(error).__name__}: {error}"
    return " ".join(words.split())[:MAX_MESSAGE]
