"""Displays an answer while it streams: finished blocks are printed once, the last is redrawn.

Only the block being written is laid out again, at a limited rate. Lists are finished item by item,
code blocks line by line.
"""

import time
from collections.abc import Callable, Sequence
from typing import Protocol, TextIO

from markdown_it.tree import SyntaxTreeNode
from rich.text import Text

from lepton_cli.engine.library.sizes import counted
from lepton_cli.ui.terminal.highlight import Highlighter
from lepton_cli.ui.terminal.markdown import LISTS, Layout, fence_line, language, parser
from lepton_cli.ui.terminal.output import LineWriter
from lepton_cli.ui.terminal.screen import Screen
from lepton_cli.ui.terminal.terminal import sanitize

PACE = 0.03  # least seconds between two redraws,
SHARE = 10  # and at least this multiple of the last one's duration
THOUGHT = "thought"


class AnswerView(Protocol):
    """Shows one answer; `close` is called last, also for an interrupted answer."""

    def progress(self, done: int, total: int) -> None: ...
    def reasoning(self, text: str) -> None: ...
    def text(self, text: str) -> None: ...
    def close(self) -> None: ...


class PlainView:
    """Prints the text exactly as it streams: for screen readers and simple terminals.

    Other outputs get whole lines.
    """

    def __init__(self, answer: TextIO, thoughts: TextIO | None) -> None:
        self._answer = LineWriter(answer, _put)
        self._thoughts = None if thoughts is None else LineWriter(thoughts, _put)
        self._thinking = self._amid_line = False

    def progress(self, done: int, total: int) -> None:
        pass

    def reasoning(self, text: str) -> None:
        if self._thoughts is None:
            return
        if not self._thinking:
            self._thoughts.write("[thinking]\n")
        self._thinking = True
        self._thoughts.write(text)

    def text(self, text: str) -> None:
        self._end_thoughts()
        self._answer.write(text)
        self._amid_line = not text.endswith("\n")

    def close(self) -> None:
        self._end_thoughts()
        if self._amid_line:
            self._answer.write("\n")

    def _end_thoughts(self) -> None:
        if self._thinking and self._thoughts is not None:
            self._thoughts.write("\n[answer]\n")
        self._thinking = False


def _put(stream: TextIO, text: str) -> None:
    stream.write(sanitize(text))
    stream.flush()


class LiveView:
    """Markdown in colours; reasoning is dim above the answer, or goes to its own stream."""

    def __init__(self, screen: Screen, thoughts: TextIO | None, *, show_thoughts: bool) -> None:
        self._screen, self._thoughts, self._show_thoughts = screen, thoughts, show_thoughts
        self._thought_aside = False
        self._stream: MarkdownStream | None = None
        self._style = ""

    def progress(self, done: int, total: int) -> None:
        reading = Text(f"reading {done}/{counted(total, 'token')}", "faint")
        self._screen.draw([], [reading] if done < total else [])

    def reasoning(self, text: str) -> None:
        if self._show_thoughts:
            self._stream_in(THOUGHT).feed(text)
        elif self._thoughts is not None:
            self._thoughts.write(text)
            self._thought_aside = True

    def text(self, text: str) -> None:
        self._stream_in("").feed(text)

    def close(self) -> None:
        if self._thoughts is not None and self._thought_aside:
            self._thoughts.write("\n")
        if self._stream is not None:
            self._stream.close()
        elif self._screen.has_open_rows:
            self._screen.draw([], [])

    def _stream_in(self, style: str) -> "MarkdownStream":
        if self._stream is not None and self._style != style:
            self._stream.close()
            if self._stream.has_settled:
                self._screen.draw([Text()], [])
            self._stream = None
        self._style = style
        self._stream = self._stream or MarkdownStream(self._screen, style)
        return self._stream


class MarkdownStream:
    """Takes pieces of Markdown; draws settled (final) and open lines on the screen."""

    def __init__(
        self, screen: Screen, style: str = "", clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._screen, self._style, self._clock = screen, style, clock
        self._parser, self._layout = parser(), Layout(screen.console)
        self._tail = ""  # the source that is not settled yet
        self._code: _OpenCode | None = None
        self._gap = False  # whether an empty line comes before the tail's first block
        self._due = 0.0
        self.has_settled = False

    def feed(self, piece: str) -> None:
        self._tail += sanitize(piece)
        started = self._clock()
        if started >= self._due:
            self._draw(self._settle(), self._open())
            self._due = started + max(PACE, SHARE * (self._clock() - started))

    def close(self) -> None:
        """Settles what is still open."""
        self._draw([*self._settle(), *self._open()], [])
        self._tail, self._code = "", None

    def _draw(self, settled: Sequence[Text], open_lines: Sequence[Text]) -> None:
        self.has_settled = self.has_settled or bool(settled)
        self._screen.draw(
            *([self._styled(line) for line in lines] for lines in (settled, open_lines))
        )

    def _styled(self, line: Text) -> Text:
        return Text.assemble(line, style=self._style) if self._style else line

    def _settle(self) -> list[Text]:
        """Removes from the tail what later text cannot change; returns its lines."""
        lines: list[Text] = []
        while True:
            code = self._code
            lines += self._settle_blocks() if code is None else self._settle_code(code)
            if (self._code is None) == (code is None):
                return lines

    def _settle_blocks(self) -> list[Text]:
        """Settles all blocks but the last; only whole lines count (`#` may become `#tag`)."""
        nodes = self._nodes(self._tail[: self._tail.rfind("\n") + 1])
        if not nodes:
            return []
        *done, last = nodes
        lines = self._laid_out(done)
        self._gap = self._gap or bool(done)
        if last.type == "fence":
            lines += self._begin_code(last)
        elif last.type in LISTS and len(last.children) > 1:
            lines += self._settle_items(last)
        elif done:
            self._cut(_first_line(last))
        return lines

    def _settle_items(self, node: SyntaxTreeNode) -> list[Text]:
        *done, last = node.children
        lines = [line for item in done for line in self._layout.item(item, self._screen.width)]
        if self._gap:
            lines.insert(0, Text())
        self._gap = False
        self._cut(_first_line(last))
        return lines

    def _begin_code(self, node: SyntaxTreeNode) -> list[Text]:
        lines = [Text()] if self._gap else []
        self._cut(_first_line(node))
        opening, _, self._tail = self._tail.partition("\n")
        self._code, self._gap = _OpenCode(node, opening), True
        return [*lines, fence_line(opening.strip())]

    def _settle_code(self, code: "_OpenCode") -> list[Text]:
        lines: list[Text] = []
        while "\n" in self._tail:
            source, _, self._tail = self._tail.partition("\n")
            if code.is_closed_by(source):
                self._code = None
                return [*lines, fence_line(source.strip())]
            lines.append(code.highlighter.line(code.dedented(source)))
        return lines

    def _open(self) -> list[Text]:
        """The lines of the open part."""
        if self._code is None:
            return self._open_blocks()
        if not self._tail:
            return []
        if self._code.is_closed_by(self._tail):
            return [fence_line(self._tail.strip())]
        return [self._code.highlighter.peek(self._code.dedented(self._tail))]

    def _open_blocks(self) -> list[Text]:
        nodes = self._nodes(self._tail)
        if not nodes or nodes[-1].type != "fence":
            return self._laid_out(nodes)
        opening = nodes.pop()  # its line is not complete yet, else it would be settled
        gap = [Text()] if nodes or self._gap else []
        return [*self._laid_out(nodes), *gap, fence_line(opening.markup + opening.info)]

    def _laid_out(self, nodes: Sequence[SyntaxTreeNode]) -> list[Text]:
        lines = self._layout.blocks(nodes, self._screen.width)
        return [Text(), *lines] if lines and self._gap else lines

    def _nodes(self, source: str) -> list[SyntaxTreeNode]:
        return SyntaxTreeNode(self._parser.parse(source)).children

    def _cut(self, line: int) -> None:
        self._tail = "\n".join(self._tail.split("\n")[line:])


class _OpenCode:
    """A fenced code block that is being written."""

    def __init__(self, node: SyntaxTreeNode, opening: str) -> None:
        self.highlighter = Highlighter(language(node))
        self._marks = node.markup
        self._indent = len(opening) - len(opening.lstrip(" "))

    def dedented(self, source: str) -> str:
        """The line without the fence's indentation."""
        spaces = len(source) - len(source.lstrip(" "))
        return source[min(spaces, self._indent) :]

    def is_closed_by(self, source: str) -> bool:
        marks = source.strip()
        indented = source.startswith("    ")
        return not indented and len(marks) >= len(self._marks) and not marks.strip(self._marks[0])


def _first_line(node: SyntaxTreeNode) -> int:
    assert node.map is not None  # every block has one
    return node.map[0]
