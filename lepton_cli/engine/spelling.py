"""The names that a person may have meant."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, names: Iterable[str]) -> str | None:
    """A hint with the nearest names: what the word begins or continues, else what looks like it."""
    known = {name.lower(): name for name in names}
    wanted = word.lower()
    near = [name for name in known if name.startswith(wanted) or wanted.startswith(name)]
    near = near or difflib.get_close_matches(wanted, known, n=3, cutoff=0.55)
    return f"did you mean {' or '.join(known[name] for name in near[:3])}?" if near else None
