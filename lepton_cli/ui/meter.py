"""How full the context is, as a style: what people look at last is what fills up."""

WARNING, ALARM = 0.75, 0.9  # shares of the context from which the meter changes colour

# on a ground of their own, so that they can be read on light and dark terminals
RICH_STYLES = {"": "", "warning": "black on yellow", "alarm": "bold white on red"}
PROMPT_STYLES = {
    "warning": "noreverse fg:ansiblack bg:ansiyellow",
    "alarm": "noreverse bold fg:ansiwhite bg:ansired",
}


def level(used: int, size: int) -> str:
    """The key of the style: empty while there is room."""
    if used >= ALARM * size:
        return "alarm"
    return "warning" if used >= WARNING * size else ""
