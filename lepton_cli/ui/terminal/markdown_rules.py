"""Extensions of CommonMark for the output of models; no text is lost.

Formulas are not changed: `$...$`, `$$...$$`, `\\(...\\)` and `\\[...\\]`. There is no
emphasis inside words or between digits. Surplus cells of a table row are kept.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, table
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.emphasis import tokenize as emphasis
from markdown_it.token import Token

CLOSING = {r"\(": r"\)", r"\[": r"\]", "$$": "$$"}
MARKS = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)|\\.|\$+", re.DOTALL)  # a code span, or a mark
PAIRS = re.compile(r"\\.|\$+", re.DOTALL)
DOLLARS = re.compile(  # pandoc's rule: no spaces inside, and no digit follows
    r"(?<![\d$])\$(?![\s*])(?P<inner>(?:\\.|[^\\$`])+)(?<!\s)\$(?!\d)", re.DOTALL
)
PROSE = re.compile(r"\d.*?\s[^\W\d_]{2}", re.DOTALL)  # $5 and some more: an amount, not a formula
PIPE = re.compile(r"(?<!\\)\|")
UNSPACED = re.compile(
    r"[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff]"
)  # Thai to Tibetan, Burmese, Khmer


def add_rules(rules: MarkdownIt) -> MarkdownIt:
    rules.inline.ruler.before("escape", "formula", formula)
    rules.inline.ruler.at("emphasis", emphasis_of_words)
    rules.block.ruler.before("lheading", "formula_lines", formula_lines)
    rules.block.ruler.at("table", whole_table, {"alt": ["paragraph", "reference"]})
    return rules


# --- formulas -----------------------------------------------------------------------------------


def formula(state: StateInline, silent: bool) -> bool:
    end = formula_end(state.src, state.pos, state.posMax)
    if end is None:
        return False
    if not silent:
        state.push("formula", "", 0).content = state.src[state.pos : end]
    state.pos = end
    return True


def formula_end(text: str, start: int, stop: int) -> int | None:
    """The end of the formula that begins here; an unclosed one extends to `stop`."""
    opening = text[start : start + 2]
    if opening == "$$" and "$" in (text[start - 1 : start], text[start + 2 : start + 3]):
        return None
    if opening in CLOSING:
        end = _closed(text, start + 2, stop, CLOSING[opening])
        is_open = opening != "$$" or _is_alone(text, start)
        return stop if end is None and is_open else end
    found = DOLLARS.match(text, start, stop)
    return None if found is None or _is_prose(text, found) else found.end()


def _closed(text: str, start: int, stop: int, closing: str) -> int | None:
    pairs = (found for found in PAIRS.finditer(text, start, stop) if found[0] == closing)
    return next((found.end() for found in pairs), None)


def _is_alone(text: str, start: int) -> bool:
    """Whether the line consists only of the two marks at `start`."""
    line_end = text.find("\n", start)
    return not (
        text[text.rfind("\n", 0, start) + 1 : start].strip()
        or text[start + 2 : line_end if line_end >= 0 else len(text)].strip()
    )


def _is_prose(text: str, found: re.Match[str]) -> bool:
    """Whether it is an amount of money or a shell variable, not a formula."""
    follows = text[found.end() : found.end() + 1]
    return bool(PROSE.match(found["inner"])) or ("**" in found["inner"] and follows.isalnum())


@dataclass(frozen=True, slots=True)
class _Open:
    """A formula that continues on the next line; empty lines are allowed if its mark is alone."""

    closing: str
    is_alone: bool


def formula_lines(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A paragraph with a formula of several lines, none of which begins a list or a heading."""
    if silent or not any(mark in state.src for mark in CLOSING):
        return False
    stop = _end_of_lines(state, start)
    if stop is None:
        return False
    state.push("paragraph_open", "p", 1).map = [start, stop]
    inline = state.push("inline", "", 0)
    inline.content = state.getLines(start, stop, state.blkIndent, False).strip()
    inline.map, inline.children = [start, stop], []
    state.push("paragraph_close", "p", -1)
    state.line = stop
    return True


def _end_of_lines(state: StateBlock, start: int) -> int | None:
    """The line after the paragraph; None if it has no multi-line formula."""
    open_one, has_several = _left_open(_line(state, start), None), False
    line = start + 1
    while line < state.lineMax:
        if state.isEmpty(line):
            if open_one is None:
                break
            if not open_one.is_alone:
                return None
        elif open_one is None:
            if _interrupts(state, line):
                break
        elif state.sCount[line] < state.blkIndent:
            break
        has_several = has_several or open_one is not None
        open_one = _left_open(_line(state, line), open_one)
        line += 1
    return line if has_several else None


def _interrupts(state: StateBlock, line: int) -> bool:
    """Whether the line ends a paragraph by CommonMark's rules."""
    if state.sCount[line] - state.blkIndent > 3 or state.sCount[line] < 0:
        return False
    rules = state.md.block.ruler.getRules("paragraph")
    return any(rule(state, line, state.lineMax, True) for rule in rules)


def _left_open(line: str, before: _Open | None) -> _Open | None:
    """The formula open at the line's end, given the one open at its start."""
    at: int | None = 0
    if before is not None:
        at = _closed(line, 0, len(line), before.closing)
        if at is None:
            return before
    while found := MARKS.search(line, at or 0):
        at = found.end()
        is_display = found[0] != "$$" or not line[: found.start()].strip()
        if found[0] in CLOSING and is_display:
            at = _closed(line, at, len(line), CLOSING[found[0]])
        if at is None:
            return _Open(CLOSING[found[0]], line.strip() == found[0])
    return None


def _line(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]


# --- emphasis -----------------------------------------------------------------------------------


def emphasis_of_words(state: StateInline, silent: bool) -> bool:
    """CommonMark's emphasis, except in `a*b*c` and `2*3*4`; scripts without spaces are excepted."""
    start, first = state.pos, len(state.delimiters)
    if not emphasis(state, silent):
        return False
    before, after = state.src[start - 1 : start], state.src[state.pos : state.pos + 1]
    if _is_spaced(before) and _is_spaced(after):
        for delimiter in state.delimiters[first:]:
            delimiter.open = False
            delimiter.close = delimiter.close and not (before.isdigit() and after.isdigit())
    return True


def _is_spaced(character: str) -> bool:
    """Whether it is a letter or digit of a script that separates words by spaces."""
    return (
        character.isalnum()
        and unicodedata.east_asian_width(character) not in ("W", "F")
        and not UNSPACED.match(character)
    )


# --- tables -------------------------------------------------------------------------------------


def whole_table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    first = len(state.tokens)
    if not table(state, start, end, silent):
        return False
    state.tokens[first:] = _with_all_cells(state, state.tokens[first:])
    return True


def _with_all_cells(state: StateBlock, tokens: list[Token]) -> Iterator[Token]:
    cells = list[str]()
    for token in tokens:
        if token.type == "tr_open" and token.map is not None:
            cells = _cells(_line(state, token.map[0]))
        elif token.type == "inline":
            token.content = cells.pop(0) if cells else ""
        elif token.type == "tr_close":
            for content in cells:
                yield Token("td_open", "td", 1)
                yield Token("inline", "", 0, content=content, children=[])
                yield Token("td_close", "td", -1)
        yield token


def _cells(row: str) -> list[str]:
    """`\\|` is a literal pipe, which does not separate cells; formulas are not changed."""
    cells = PIPE.split(row.strip())
    if cells and not cells[0]:
        del cells[0]
    if cells and not cells[-1]:
        del cells[-1]
    return [_unescaped(cell.strip()) for cell in cells]


def _unescaped(cell: str) -> str:
    parts, at = list[str](), 0
    while at < len(cell):
        end = formula_end(cell, at, len(cell))
        if end is None:
            at += cell.startswith(r"\|", at)
            end = at + 1
        parts.append(cell[at:end])
        at = end
    return "".join(parts)
