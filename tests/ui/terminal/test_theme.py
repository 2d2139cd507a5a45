"""Colours that can be read on the usual backgrounds, and how a terminal tells which it has."""

import re
from itertools import product

import pytest
from rich.color import Color, ColorSystem

from lepton_cli.ui.terminal.background import (
    BackgroundReport,
    LateAnswers,
    _by_environment,
    parse_answers,
)
from lepton_cli.ui.terminal.theme import STYLES, luminance

CONTRAST = 4.5  # WCAG's for text
BACKGROUNDS = {"light": ("#ffffff", "#fdf6e3"), "dark": ("#000000", "#002b36")}
COLOR = re.compile(r"#[\da-f]{6}")
WHITE, BLACK = "\x1b]11;rgb:ffff/ffff/ffff\x1b\\", "\x1b]11;rgb:00/00/00\x07"
SOLARIZED = "\x1b]11;rgba:0000/2b2b/3636/ffff\x1b\\"
LAST = "\x1b[?62;22c"


def contrast(one: str, other: str) -> float:
    """WCAG's ratio of two colours."""
    lights = sorted(
        luminance(*(int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)))
        for color in (one, other)
    )
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("theme", BACKGROUNDS)
def test_all_colours_can_be_read(theme: str) -> None:
    for name, style in STYLES[theme].items():
        color, *own_background = COLOR.findall(style)
        of_256 = Color.parse(color).downgrade(ColorSystem.EIGHT_BIT).get_truecolor().hex
        for shown, background in product((color, of_256), own_background or BACKGROUNDS[theme]):
            assert contrast(shown, background) >= CONTRAST, (name, shown, background)


def test_themes_have_the_same_styles_and_one_has_no_colours() -> None:
    assert STYLES["light"].keys() == STYLES["dark"].keys() == STYLES["none"].keys()
    assert not COLOR.search(" ".join(STYLES["none"].values()))


@pytest.mark.parametrize(
    ("came", "report"),
    [
        (WHITE + LAST, BackgroundReport(True)),
        (BLACK + LAST, BackgroundReport(False)),
        (SOLARIZED + LAST, BackgroundReport(False)),
        ("he" + WHITE + "llo\r" + LAST + "!", BackgroundReport(True, "hello\r!")),
        (LAST, BackgroundReport(None)),
        ("typed \x1b[A", BackgroundReport(None, "typed \x1b[A", is_complete=False)),
        ("\x1b]11;?\x07" + LAST, BackgroundReport(None)),
    ],
)
def test_answer_of_the_terminal_is_separated_from_what_is_typed(
    came: str, report: BackgroundReport
) -> None:
    assert parse_answers(came) == report


@pytest.mark.parametrize(
    ("value", "is_light"),
    [("15;0", False), ("0;15", True), ("0;default;7", True), ("7;8", False), ("", None)],
)
def test_variable_tells_the_background(value: str, is_light: bool | None) -> None:
    assert _by_environment({"COLORFGBG": value}) is is_light


class Typed:
    """A reader that has these pieces."""

    closed = False

    def __init__(self, *pieces: str) -> None:
        self._pieces = list(pieces)

    def read(self, count: int = 1024) -> str:
        return self._pieces.pop(0) if self._pieces else ""


LATE = "one\x1b[A" + WHITE + "two" + LAST + "three"
CUTS = [cut for cut in range(len(LATE)) if LATE[cut - 1] != "\x1b"]  # else Escape would wait


@pytest.mark.parametrize("cut", CUTS)
def test_late_answers_are_not_typed(cut: int) -> None:
    reader = LateAnswers(Typed(LATE[:cut], LATE[cut:], "\x1b]11;x\x1b[?1c"))
    assert reader.read() + reader.read() == "one\x1b[Atwothree"
    assert reader.read() == "\x1b]11;x\x1b[?1c"  # all answers are there: that is somebody's
