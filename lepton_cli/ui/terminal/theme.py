"""Colours for light and dark backgrounds; `none` has only bold and italic, for any background.

The colours are of the 256-colour cube, which terminal palettes do not change, with a WCAG contrast
of at least 4.5 to white and Solarized light, or to black and Solarized dark.
"""

from collections.abc import Mapping
from typing import Literal

Theme = Literal["auto", "light", "dark", "none"]

STYLES: Mapping[str, Mapping[str, str]] = {
    "light": {
        "mark": "bold #005f87",
        "faint": "#5f5f5f",
        "thought": "italic #5f5f5f",
        "failure": "bold #af0000",
        "warning": "#000000 on #d7af00",
        "alarm": "bold #ffffff on #af0000",
        "syntax.comment": "italic #5f5f5f",
        "syntax.keyword": "#5f00af",
        "syntax.name": "#0000af",
        "syntax.builtin": "#005f87",
        "syntax.text": "#005f00",
        "syntax.number": "#875f00",
        "syntax.wrong": "underline #af0000",
    },
    "dark": {
        "mark": "bold #5fd7ff",
        "faint": "#a8a8a8",
        "thought": "italic #a8a8a8",
        "failure": "bold #ff8787",
        "warning": "#000000 on #d7af00",
        "alarm": "bold #ffffff on #af0000",
        "syntax.comment": "italic #a8a8a8",
        "syntax.keyword": "#d7afff",
        "syntax.name": "#87d7ff",
        "syntax.builtin": "#5fd7d7",
        "syntax.text": "#87d787",
        "syntax.number": "#ffaf5f",
        "syntax.wrong": "underline #ff8787",
    },
    "none": {
        "mark": "bold",
        "faint": "",
        "thought": "italic",
        "failure": "bold",
        "warning": "bold",
        "alarm": "bold reverse",
        "syntax.comment": "italic",
        "syntax.keyword": "bold",
        "syntax.name": "",
        "syntax.builtin": "",
        "syntax.text": "",
        "syntax.number": "",
        "syntax.wrong": "underline",
    },
}


def luminance(red: float, green: float, blue: float) -> float:
    """WCAG's relative luminance of an sRGB colour, all from 0 to 1."""
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (red, green, blue)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
