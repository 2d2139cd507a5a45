"""Syntax highlighting line by line; the cost of a line does not depend on the block's length."""

from collections.abc import Iterator

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import (
    Comment,
    Error,
    Generic,
    Keyword,
    Name,
    Number,
    Operator,
    String,
    _TokenType,
)
from pygments.util import ClassNotFound
from rich.text import Text

from lepton_cli.ui.terminal.terminal import sanitize

STYLES: dict[_TokenType, str] = {  # of the theme
    Comment: "syntax.comment",
    Comment.Preproc: "syntax.builtin",
    Keyword: "syntax.keyword",
    Keyword.Type: "syntax.builtin",
    Operator.Word: "syntax.keyword",
    Name.Attribute: "syntax.builtin",
    Name.Builtin: "syntax.builtin",
    Name.Class: "syntax.name",
    Name.Decorator: "syntax.builtin",
    Name.Exception: "syntax.builtin",
    Name.Function: "syntax.name",
    Name.Namespace: "syntax.builtin",
    Name.Tag: "syntax.name",
    String: "syntax.text",
    Number: "syntax.number",
    Generic.Deleted: "syntax.wrong",
    Generic.Heading: "bold",
    Generic.Inserted: "syntax.text",
    Generic.Subheading: "bold",
    Error: "syntax.wrong",
}
LEXED, CONTEXT = 600, 200  # characters of context before a line: nearly always enough


class Highlighter:
    """Highlights one code block. Earlier lines affect only colours, never the text."""

    def __init__(self, language: str) -> None:
        self._lexer = _lexer(language)
        self._before = ""  # lines that give the next one its context
        self._cuts: list[int] = []  # where a line begins in `_before`, outside strings and comments

    def line(self, code: str) -> Text:
        """The next line (without its newline) in colours."""
        start, kind = len(self._before), None
        text = Text()
        for kind, word in self._tokens(code + "\n"):
            text.append(word.replace("\n", ""), _style(kind))
        self._before += code + "\n"
        if kind is None or not (kind in String or kind in Comment.Multiline):
            self._cuts.append(start + len(code) + 1)
        self._forget()
        return text

    def peek(self, code: str) -> Text:
        """An unfinished line in colours."""
        return Text.assemble(*((word, _style(kind)) for kind, word in self._tokens(code)))

    def _tokens(self, code: str) -> Iterator[tuple[_TokenType | None, str]]:
        """Token types and texts of the code, lexed with the context before it."""
        start = len(self._before)
        if self._lexer is None:
            yield None, sanitize(code)
            return
        for place, kind, word in self._lexer.get_tokens_unprocessed(self._before + code):
            if place + len(word) > start:
                yield kind, sanitize(word[max(0, start - place) :])

    def _forget(self) -> None:
        if len(self._before) <= LEXED:
            return
        latest = len(self._before) - CONTEXT
        cut = max((cut for cut in self._cuts if cut <= latest), default=0)
        if cut == 0 and len(self._before) > 4 * LEXED:  # a string without end
            cut = latest
        self._before = self._before[cut:]
        self._cuts = [other - cut for other in self._cuts if other > cut]


def _style(kind: _TokenType | None) -> str:
    """The style of a token type, or of its nearest parent type."""
    while kind is not None and kind not in STYLES:
        kind = kind.parent
    return "" if kind is None else STYLES[kind]


def _lexer(language: str) -> Lexer | None:
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False) if language else None
    except ClassNotFound:
        return None
