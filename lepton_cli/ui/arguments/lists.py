"""Options with several values: comma-separated, or a repeated flag."""

from collections.abc import Sequence

from quant.errors import UsageError

MAX_NUMBER = 1 << 31


def numbers(flag: str, given: Sequence[str] | None, default: str, least: int = 0) -> list[int]:
    """Raises UsageError."""
    found = words(given, default)
    for word in found:
        if not word.removeprefix("-").isdecimal() or not least <= int(word) < MAX_NUMBER:
            message = f"{flag} takes whole numbers from {least}, not {word!r}"
            raise UsageError(message, f"for example: {flag} 128,512")
    return [int(word) for word in found]


def words(given: Sequence[str] | None, default: str) -> list[str]:
    return [word.strip() for text in given or [default] for word in text.split(",")]
