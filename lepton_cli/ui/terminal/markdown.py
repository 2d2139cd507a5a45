"""Markdown to lines of styled text, block by block, so that an answer can be streamed.

Line breaks of the source are kept, links show their address, HTML is plain text, and code is
neither wrapped nor padded, so that it can be copied.
"""

from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode
from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from lepton_cli.ui.terminal.highlight import Highlighter
from lepton_cli.ui.terminal.markdown_rules import add_rules
from lepton_cli.ui.terminal.terminal import sanitize
from lepton_cli.ui.terminal.wrapping import most_cells, wrap

MIN_WIDTH = 8  # columns of a nested block
INLINE = {"strong": "bold", "em": "italic", "s": "strike"}
LISTS = ("bullet_list", "ordered_list")
CODE, FAINT = "mark", "faint"  # styles of the theme


def parser() -> MarkdownIt:
    """A parser without link references, which would resolve only within a block."""
    rules = MarkdownIt("commonmark", {"html": False})
    rules.enable(["table", "strikethrough"]).disable("reference")
    return add_rules(rules)


class Layout:
    """Lays out parsed blocks as lines of at most the given width (except code)."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def blocks(self, nodes: Sequence[SyntaxTreeNode], width: int) -> list[Text]:
        """The lines of several blocks, with empty lines between them."""
        lines: list[Text] = []
        for node in nodes:
            if lines:
                lines.append(Text())
            lines += self.block(node, width)
        return lines

    def block(self, node: SyntaxTreeNode, width: int) -> list[Text]:
        width = max(width, MIN_WIDTH)
        match node.type:
            case "heading":
                style = "bold underline" if node.tag == "h1" else "bold"
                return wrap(_inline(node, style), width)
            case "bullet_list" | "ordered_list":
                return [line for item in node.children for line in self.item(item, width)]
            case "blockquote":
                return _behind(Text("│ ", FAINT), self.blocks(node.children, width - 2))
            case "fence" | "code_block":
                return _code(node)
            case "hr":
                return [Text("─" * min(width, 40), FAINT)]
            case "table":
                return self._table(node, width)
            case _:
                return wrap(_inline(node), width)

    def item(self, node: SyntaxTreeNode, width: int) -> list[Text]:
        """A list item after its bullet, or the number that the model gave it."""
        mark = Text(f"{node.info}. " if node.info else "• ", CODE)
        lines: list[Text] = []
        for child in node.children:
            if lines and child.type not in LISTS:
                lines.append(Text())
            lines += self.block(child, width - len(mark))
        return _behind(mark, lines or [Text()], first_only=True)

    def _table(self, node: SyntaxTreeNode, width: int) -> list[Text]:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
        head, *bodies = node.children
        for cell in head.children[0].children:
            align = str(cell.attrs.get("style", "")).removeprefix("text-align:")
            table.add_column(_inline(cell), justify=_JUSTIFY.get(align, "left"))
        for row in (row for body in bodies for row in body.children):
            table.add_row(*map(_inline, row.children))
        while True:
            lines = self._rendered(table, width)
            surplus = max(most_cells(line.plain) - width for line in lines)
            if surplus <= 0 or width <= MIN_WIDTH:
                return lines
            width = max(MIN_WIDTH, width - surplus)  # a terminal may show its cells wider

    def _rendered(self, table: Table, width: int) -> list[Text]:
        options = self._console.options.update(width=width)
        lines = self._console.render_lines(table, options, pad=False)
        return [Text.assemble(*((part.text, part.style or "") for part in line)) for line in lines]


_JUSTIFY: dict[str, JustifyMethod] = {"center": "center", "right": "right"}


def language(node: SyntaxTreeNode) -> str:
    """The first word after a fence's backticks."""
    words = node.info.split()
    return words[0].strip("{}.") if words else ""


def fence_line(marks: str) -> Text:
    return Text(sanitize(marks), FAINT)


def _code(node: SyntaxTreeNode) -> list[Text]:
    highlighter = Highlighter(language(node))
    sources = node.content.removesuffix("\n").split("\n") if node.content else []
    lines = [highlighter.line(source) for source in sources]
    if node.type != "fence":
        return lines
    return [fence_line(node.markup + node.info), *lines, fence_line(node.markup)]


def _behind(mark: Text, lines: list[Text], *, first_only: bool = False) -> list[Text]:
    rest = Text(" " * mark.cell_len) if first_only else mark
    marked = [Text.assemble(rest if i else mark, line) for i, line in enumerate(lines)]
    for line in marked:
        line.rstrip()
    return marked


def _inline(node: SyntaxTreeNode, style: str = "") -> Text:
    """The inline content of a block, one line per source line."""
    text = Text(style=style)
    for child in node.children:
        text.append_text(_span(child))
    return text


def _span(node: SyntaxTreeNode) -> Text:
    match node.type:
        case "softbreak" | "hardbreak":
            return Text("\n")
        case "code_inline":
            return Text(sanitize(node.content), CODE)
        case "link":
            return _with_address(_inline(node, "underline"), str(node.attrs.get("href", "")))
        case "image":
            shown = Text(f"[image: {sanitize(node.content)}]")
            return _with_address(shown, str(node.attrs.get("src", "")))
        case "inline" | "strong" | "em" | "s":
            return _inline(node, INLINE.get(node.type, ""))
        case _:
            return Text(sanitize(node.content))


def _with_address(shown: Text, address: str) -> Text:
    """A link followed by its address, which is never hidden."""
    if shown.plain != sanitize(address):
        shown = Text.assemble(shown, (f" ({sanitize(address)})", FAINT))
    return shown
