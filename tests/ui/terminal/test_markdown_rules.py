"""Formulas as they are written, emphasis that keeps out of words, tables that lose no cell."""

import pytest
from test_render import lines_of, stream

WHOLE = [
    r"$b^{*}_{i} + c^{*}_{j}$",
    r"$\{x \mid x_1 * y_1 * z\}$",
    r"$$\{ a_1, a_2 \} \\ \| v \|$$",
    r"\(x^{*} \, y^{*}\)",
    r"\[ \sum_{i=1}^{n} a_{i} b^{*}_{i} \; \text{for} \\[2pt] x^{*}_{i} \]",
    r"$2 * 3 * x^{*}_{i}*$",
    r"$V^{**}$, then $W^{**}$",
    r"the $n$th of $a_i$s",
    "$x < y > z$ &amp; $&lt;$",
]
SEVERAL_LINES = [
    "$$\n\\{ a_1 \\}\n\n+ b^{*}_i\n= c*d*\n===\n- e\n# f\n> g\n$$",
    "\\[\n\\sum a_{i} b^{*}_{i}\n\\]",
    "\\[ a\n+ b^{*}_{i}\n1. c^{*}_{j} \\]",
    "Text:\n$$ x^{*}\n- y^{*} $$\nand more",
    "so \\( a\n+ b^{*}_{i} * c*d*\\) holds",
]
FRAMES = ["{}", "# {}", "- {}\n- b", "> {}", "1. a\n   {}", "| a |\n|---|\n| {} |"]


def text_of(source: str, width: int = 100) -> str:
    return "\n".join(lines_of(source, width))


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("formula", WHOLE[:6])
def test_formula_is_shown_as_it_is_written(formula: str, frame: str) -> None:
    assert formula in text_of(frame.replace("{}", f"before {formula} behind"))


@pytest.mark.parametrize("formula", WHOLE[6:])
def test_formulas_side_by_side_are_shown_as_they_are_written(formula: str) -> None:
    assert text_of(formula) == formula.replace("&amp; $", "& $", 1)


@pytest.mark.parametrize("formula", SEVERAL_LINES)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_lines_of_a_formula_are_not_lists_headings_or_rules(formula: str, size: int) -> None:
    assert "\n".join(stream(formula, size).shown) == formula + "\n"
    assert text_of(f"{formula}\n\n- *next*") == f"{formula}\n\n• next"
    assert text_of("- " + formula.replace("\n", "\n  ")) == "• " + "\n".join(
        f"  {line}".rstrip() if i else line for i, line in enumerate(formula.split("\n"))
    )


def test_formula_that_is_not_closed_stays_as_it_is() -> None:
    assert text_of(r"so \( b^{*}_{i} c^{*}") == r"so \( b^{*}_{i} c^{*}"
    assert text_of("$$\nb^{*}_{i} c^{*}") == "$$\nb^{*}_{i} c^{*}"
    assert text_of("\\[ a^{*} b^{*}\n\n- *item*") == "\\[ a^{*} b^{*}\n\n• item"


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("costs $5 and *very* much, $6 or **$7**, $8.", "costs $5 and very much, $6 or $7, $8."),
        ("**$5**, **$6** and **$5**/**$6**", "$5, $6 and $5/$6"),
        ("US$5, *or* CA$6; 5$, *maybe* 6$", "US$5, or CA$6; 5$, maybe 6$"),
        ("**$HOME**, **$PATH** and *$x*", "$HOME, $PATH and $x"),
        ("$$ is *cheap*, $$$ is **dear**", "$$ is cheap, $$$ is dear"),
        ("- $$: **cheap**\n- $$$: **mid**", "• $$: cheap\n• $$$: mid"),
        ("`$a` \\$5 *and* \\$6 `b$`", "$a $5 and $6 b$"),
        ("\\\\(no *formula*\\\\)", "\\(no formula\\)"),
    ],
)
def test_money_and_variables_are_not_formulas(source: str, shown: str) -> None:
    assert text_of(source) == shown


@pytest.mark.parametrize("text", ["2*3*4", "a*b*c", "2**3**4", "snake_case_name", "x*y and u*v"])
def test_no_emphasis_begins_inside_a_word(text: str) -> None:
    assert text_of(text) == text


@pytest.mark.parametrize("text", ["**bold**, *slanted*", "这是**重点**内容", "**중요**한", "(*a*)"])
def test_other_emphasis_is_commonmarks(text: str) -> None:
    assert text_of(text) == text.replace("*", "")


def test_table_keeps_the_cells_that_are_too_many_and_fills_those_that_lack() -> None:
    rows = text_of("| a | b |\n|---|---|\n| 1 | 2 | *3* | 4 |\n| 5 |\n| $5 | $6 |").split("\n")
    assert [row.split() for row in rows[2:]] == [["1", "2", "3", "4"], ["5"], ["$5", "$6"]]


def test_pipe_in_a_cell_is_kept_with_its_backslash_in_a_formula() -> None:
    rows = text_of("| a \\| b | c |\n|---|---|\n| $\\|v\\|$ | x \\| y | z").split("\n")
    assert rows[0].split() == ["a", "|", "b", "c"]
    assert rows[2].split() == ["$\\|v\\|$", "x", "|", "y", "z"]
