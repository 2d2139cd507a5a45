"""What an answer looks like on the screen, and what never gets there."""

import io
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text
from rich.theme import Theme
from screens import Terminal

from lepton_cli.ui.terminal import render
from lepton_cli.ui.terminal.highlight import Highlighter
from lepton_cli.ui.terminal.markdown import Layout, parser
from lepton_cli.ui.terminal.render import LiveView, MarkdownStream, PlainView
from lepton_cli.ui.terminal.screen import Screen, open_console
from lepton_cli.ui.terminal.terminal import redraws, sanitize, uses_color
from lepton_cli.ui.terminal.theme import STYLES

DOCUMENT = """# Title

A paragraph with **bold**, `code` and a [link](http://x.y)
that spans lines, and is long enough that it must be wrapped to fit into the window.
Setext
======

1. one
2. two

   second paragraph

   ```python
   def f(x):
       return x
   ```
3. three
   - a
   - b
     - deep

| name | value |
|:-----|------:|
| eins | 1     |
| 日本 | 22    |

> quote
> - more

```python
def g(y):
    s = \"\"\"long

    string\"\"\"
    return y + 1
```
~~~
```
~~~
```
```

- loose

- list
* another

---

 ```
 indented fence
   more
 ```

Last paragraph <b>not html</b> [bold]not markup[/bold] #hashtag
#hashtag 1.5
1.5 is a number, and 日本語のテキストはとても長いので折り返しが必要になります。
"""


def console(width: int = 60, height: int = 24) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    made = Console(
        file=file,
        width=width,
        height=height,
        force_terminal=True,
        color_system="truecolor",
        markup=False,
        highlight=False,
        emoji=False,
        theme=Theme(STYLES["dark"]),
    )
    return made, file


class Clock:
    """Each feed is due at once: every piece is drawn."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 1e-9
        return self.now

    def step(self) -> None:
        self.now += 1000.0


def stream(text: str, size: int, width: int = 60, height: int = 24) -> Terminal:
    """The terminal after the text came in pieces of `size` characters."""
    made, file = console(width, height)
    clock = Clock()
    view = MarkdownStream(Screen(made), clock=clock)
    for start in range(0, len(text), size):
        clock.step()
        view.feed(text[start : start + size])
    view.close()
    terminal = Terminal(width)
    terminal.write(file.getvalue())
    return terminal


def lines_of(text: str, width: int = 60) -> list[str]:
    """The whole text laid out at once."""
    from markdown_it.tree import SyntaxTreeNode

    made, _ = console(width)
    nodes = SyntaxTreeNode(parser().parse(text)).children
    return [line.plain.rstrip() for line in Layout(made).blocks(nodes, width - 1)]


# --- Markdown -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 7, 50, 10_000])
def test_streamed_answer_looks_like_the_whole(size: int) -> None:
    assert stream(DOCUMENT, size).shown == [*lines_of(DOCUMENT), ""]


@pytest.mark.parametrize("cut", range(0, len(DOCUMENT), 29))
def test_answer_cut_anywhere_shows_all_that_came(cut: int) -> None:
    wanted = re.findall(r"\w+", " ".join(lines_of(DOCUMENT[:cut])))
    shown = re.findall(r"\w+", " ".join(stream(DOCUMENT[:cut], 5).shown))
    assert shown == wanted


@given(st.text("ab *_`#->|1.\n", max_size=60), st.integers(1, 9))
def test_no_word_is_lost_however_odd_the_markdown(text: str, size: int) -> None:
    letters = re.sub(r"[^ab]", "", "".join(stream(text, size).shown))
    assert letters == re.sub(r"[^ab]", "", "".join(lines_of(text)))


def test_finished_blocks_are_written_once() -> None:
    made, file = console()
    clock, terminal = Clock(), Terminal(60)
    view = MarkdownStream(Screen(made), clock=clock)
    lowest = 0
    for piece in re.findall(r"\S+\s*", "A paragraph of words.\n\n" * 20):
        clock.step()
        file.seek(0), file.truncate()
        view.feed(piece)
        terminal.highest = terminal.row
        terminal.write(file.getvalue())
        assert terminal.row - terminal.highest <= 3
        lowest = max(lowest, terminal.row)
    assert lowest > 30


def test_work_grows_with_the_length_not_with_its_square(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []

    class Counting:
        def __init__(self) -> None:
            self._parser = parser()

        def parse(self, source: str) -> Any:
            counts.append(len(source))
            return self._parser.parse(source)

    monkeypatch.setattr(render, "parser", Counting)
    work = []
    for times in (3, 6):
        counts.clear()
        stream(DOCUMENT * times, 4)
        work.append(sum(counts))
    assert work[1] < 2.5 * work[0]


def test_code_settles_line_by_line() -> None:
    made, file = console(height=5)
    view = MarkdownStream(Screen(made), clock=(clock := Clock()))
    view.feed("```python\n")
    for i in range(100):
        clock.step()
        file.seek(0), file.truncate()
        view.feed(f"x{i} = 1\n")
        assert f"x{i}" in file.getvalue() and f"x{i - 1} " not in file.getvalue()


def test_long_code_lines_are_neither_wrapped_nor_cut() -> None:
    line = "x = " + "1 + " * 60 + "\t1"
    made, file = console(40)
    view = MarkdownStream(Screen(made))
    view.feed(f"```\n{line}\n```\n")
    view.close()
    assert line in file.getvalue()


def test_block_taller_than_the_window_shows_its_end_and_then_the_whole() -> None:
    text = "word\n" * 50
    made, file = console(60, height=10)
    view = MarkdownStream(Screen(made), clock=(clock := Clock()))
    for start in range(0, len(text), 9):
        clock.step()
        view.feed(text[start : start + 9])
    view.close()
    terminal = Terminal(60)
    terminal.write(file.getvalue())
    assert terminal.shown[-51:] == ["word"] * 50 + [""]


@pytest.mark.parametrize("width", [1, 2, 9, 20, 61, 200])
def test_every_window_width_works(width: int) -> None:
    letters = re.sub(r"\W", "", "".join(stream(DOCUMENT, 11, width).shown))
    if width > 20:
        assert letters == re.sub(r"\W", "", "".join(lines_of(DOCUMENT, width)))


def test_narrowed_window_is_cleaned_up() -> None:
    """The terminal wraps what was drawn before; all of it is erased and drawn anew."""
    made, file = console(60)
    screen, clock = Screen(made), Clock()
    view = MarkdownStream(screen, clock=clock)
    view.feed("some words that fill about half of the window " * 2)
    made.width = 30
    file.seek(0), file.truncate()
    clock.step()
    view.feed("more")
    assert file.getvalue().startswith("\x1b[3A\r\x1b[J")  # two rows of up to 59 are four of 30


def test_links_show_their_address_and_are_never_hidden() -> None:
    made, file = console(200)
    view = MarkdownStream(Screen(made))
    view.feed("[my bank](http://evil.example/x) ![pic](http://img.example) <http://self.example>\n")
    view.close()
    plain = re.sub(r"\x1b\[[\d;]*m", "", file.getvalue())
    assert plain == (
        "my bank (http://evil.example/x) [image: pic] (http://img.example) http://self.example\n"
    )
    assert "\x1b]" not in file.getvalue()


def test_reference_definitions_and_html_stay_visible() -> None:
    shown = " ".join(stream("see [it][1]\n\n[1]: http://x.y\n\n<div>block</div>\n", 4).shown)
    for words in ("[it][1]", "[1]: http://x.y", "<div>block</div>"):
        assert words in shown


def test_numbers_are_those_of_the_model() -> None:
    assert stream("7. seven\n8. eight\n8. again\n", 3).shown[:3] == [
        "7. seven",
        "8. eight",
        "8. again",
    ]


# --- colours of code ----------------------------------------------------------------------------


def style_of(line: Text, word: str) -> str:
    at = line.plain.index(word)
    return " ".join(str(span.style) for span in line.spans if span.start <= at < span.end)


def test_strings_over_several_lines_keep_their_colour() -> None:
    highlighter = Highlighter("python")
    first = highlighter.line('x = """one')
    second = highlighter.line("two if three")
    third = highlighter.line('four"""')
    assert style_of(second, "if") == style_of(third, "four") == style_of(first, "one")
    assert style_of(highlighter.line("if x: pass"), "if") != style_of(second, "if")


def test_lexing_a_line_costs_the_same_however_long_the_block_is() -> None:
    highlighter = Highlighter("python")
    for i in range(2000):
        assert highlighter.line(f"x = {i}  # comment").plain == f"x = {i}  # comment"
        assert len(highlighter._before) < 1000


@pytest.mark.parametrize("language", ["", "no-such-language", "python", "html", "c", "json", "sh"])
@given(code=st.text(max_size=80))
def test_colours_never_change_the_code(language: str, code: str) -> None:
    highlighter = Highlighter(language)
    code = code.replace("\n", " ")
    assert highlighter.peek(code).plain == sanitize(code)
    assert highlighter.line(code).plain == sanitize(code)


# --- what a terminal may be sent ----------------------------------------------------------------

HOSTILE = (
    "\x1b[2J\x1b]0;title\x07\x1b]8;;http://x\x1b\\a\x1b\\\x9b31m\x08\x7f\u202eabc\u2066\ud800\r\x00"
    "\u200f\u200e\u061c\u2028\u2029\ufff9b\ufffac\ufffb\u206a\U000e0041\U000e007f"
)
FORBIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
OURS = re.compile(r"\x1b\[[\d;]*[AJm]|[\r\n\t]")


def test_sanitized_text_steers_nothing() -> None:
    assert not FORBIDDEN.search(sanitize(HOSTILE))
    assert sanitize("\x1b[31mred") == "␛[31mred"
    assert sanitize("a\u200fb\u2028c\U000e0061d") == "a\ufffdb\ufffdc\ufffdd"
    joined = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \u845b\U000e0100"  # as people write
    assert sanitize(joined) == joined
    assert sanitize("tab\tand\nline, عربي, 日本, 👩‍💻") == "tab\tand\nline, عربي, 日本, 👩‍💻"


@given(st.text(), st.text())
def test_sanitizing_pieces_is_sanitizing_the_whole(first: str, second: str) -> None:
    assert sanitize(first) + sanitize(second) == sanitize(first + second)
    assert not FORBIDDEN.search(sanitize(first))


FRAMES = [
    "{}",
    "`{}`",
    "```{}\n{}\n```",
    "[{}](<{}>)",
    "| {} |\n|---|\n| {} |",
    "# {}",
    "- {}\n- {}",
]


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("size", [1, 1000])
def test_hostile_answers_reach_the_terminal_harmless(frame: str, size: int) -> None:
    text = frame.replace("{}", HOSTILE.replace("\n", "") + "&#x202e;&#27;&#x9b;") + "\n"
    made, file = console()
    view = LiveView(Screen(made), None, show_thoughts=True)
    for kind in (view.reasoning, view.text):
        for start in range(0, len(text), size):
            kind(text[start : start + size])
    view.close()
    assert not FORBIDDEN.search(OURS.sub("", file.getvalue()))


def test_plain_view_shows_the_text_exactly_as_it_streams() -> None:
    file = io.StringIO()
    view = PlainView(file, None)
    for piece in ("**b", "old**", " [x](y)\n", "\x1b[1m"):
        view.text(piece)
    view.reasoning("hidden")
    view.close()
    assert file.getvalue() == "**bold** [x](y)\n␛[1m\n"


def test_plain_view_names_thoughts() -> None:
    file = io.StringIO()
    view = PlainView(file, file)
    view.reasoning("hm")
    view.reasoning("m")
    view.text("4")
    view.close()
    assert file.getvalue() == "[thinking]\nhmm\n[answer]\n4\n"


def test_thoughts_stand_dim_above_the_answer() -> None:
    made, file = console()
    view = LiveView(Screen(made), None, show_thoughts=True)
    view.reasoning("let me *see*\n")
    view.text("It is 4.")
    view.close()
    terminal = Terminal(60)
    terminal.write(file.getvalue())
    assert terminal.shown == ["let me see", "", "It is 4.", ""]
    assert "\x1b[3;38;2;168;168;168mlet me" in file.getvalue()


def test_progress_disappears_when_the_prompt_is_read() -> None:
    made, file = console()
    view = LiveView(Screen(made), None, show_thoughts=True)
    view.progress(10, 100)
    assert "10/100" in file.getvalue()
    view.progress(100, 100)
    view.text("Hi")
    view.close()
    terminal = Terminal(60)
    terminal.write(file.getvalue())
    assert terminal.shown == ["Hi", ""]


# --- which streams show colour ------------------------------------------------------------------


class Stream(io.StringIO):
    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.mark.parametrize(
    ("terminal", "environ", "color", "moves"),
    [
        (True, {"TERM": "xterm"}, True, True),
        (False, {"TERM": "xterm"}, False, False),
        (True, {"TERM": "dumb"}, False, False),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False, True),
        (True, {"TERM": "xterm", "NO_COLOR": ""}, True, True),
        (False, {"CLICOLOR_FORCE": "1"}, True, False),
        (False, {"CLICOLOR_FORCE": "0"}, False, False),
        (False, {"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, False, False),
        (True, {}, True, True),
    ],
)
def test_colour_is_decided_per_stream(
    terminal: bool, environ: dict[str, str], color: bool, moves: bool
) -> None:
    assert uses_color(Stream(terminal=terminal), environ) is color
    assert redraws(Stream(terminal=terminal), environ) is moves


def test_no_color_leaves_weight_but_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Stream(terminal=True)
    open_console(stream).print(Text("word", "bold red"))
    assert "\x1b[1m" in stream.getvalue() and "31" not in stream.getvalue()


def test_markup_in_a_text_is_not_interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Stream(terminal=True)
    open_console(stream).print("[bold]x[/bold] :smile: 42", end="")
    assert stream.getvalue() == "[bold]x[/bold] :smile: 42"


rows = st.lists(st.sampled_from(["", "a", "bb", "a longer row", "日本"]), max_size=6)


@given(st.lists(st.tuples(rows, rows), max_size=8))
def test_screen_shows_settled_and_open_rows_whatever_was_there(draws: list[Any]) -> None:
    made, file = console(20)
    screen, terminal, kept = Screen(made), Terminal(20), list[str]()
    for settled, still_open in draws:
        file.seek(0), file.truncate()
        screen.draw(*([Text(row) for row in rows] for rows in (settled, still_open)))
        terminal.write(file.getvalue())
        kept += settled
        assert terminal.shown == kept + (still_open or [""])


def test_row_that_settles_as_it_stands_is_not_written_again() -> None:
    made, file = console(20)
    screen, terminal = Screen(made), Terminal(20)
    a, b, c = map(Text, "abc")
    for settled, still_open in (([], [a, b]), ([a], [b]), ([], [b, c]), ([b, c], [])):
        screen.draw(settled, still_open)
    assert file.getvalue() == "a\nb\nc\n"
    terminal.write(file.getvalue())
    assert terminal.shown == ["a", "b", "c", ""]
