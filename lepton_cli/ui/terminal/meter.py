"""The style of the context meter, by how full the context is."""

WARNING, ALARM = 0.75, 0.9  # shares of the context from which the meter changes colour

PROMPT_STYLES = {  # the theme's styles for a reversed line
    "warning": "noreverse fg:#000000 bg:#d7af00",
    "alarm": "noreverse bold fg:#ffffff bg:#af0000",
}


def level(used: int, size: int) -> str:
    """The style's name; empty while there is room."""
    if used >= ALARM * size:
        return "alarm"
    return "warning" if used >= WARNING * size else ""
