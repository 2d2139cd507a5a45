"""Suggestions for misspelled names."""

from collections.abc import Iterable, Sequence

MAX_EDITS = 3
MIN_PREFIX = 3  # shorter names are no evidence as a prefix
MAX_NAMES = 4


def did_you_mean(word: str, names: Iterable[str]) -> str | None:
    """A hint with the most similar names, if any is similar enough."""
    near = nearest(word, names)
    return f"did you mean {' or '.join(near)}?" if near else None


def nearest(word: str, names: Iterable[str]) -> list[str]:
    """The names that `word` abbreviates; else those with the fewest edits; else those it extends.

    At most one edit per three characters: a wrong suggestion is worse than none, and so are many.
    Leading dashes and slashes are ignored.
    """
    known = {_plain(name): name for name in names}
    wanted = _plain(word)
    near = (
        [name for name in known if name.startswith(wanted)]
        or _with_fewest_edits(wanted, known)
        or [name for name in known if _extends(wanted, name)]
    )
    return [known[name] for name in near] if wanted and len(near) <= MAX_NAMES else []


def _with_fewest_edits(word: str, names: Iterable[str]) -> list[str]:
    allowed = min(len(word) // 3, MAX_EDITS)
    likely = [name for name in names if abs(len(name) - len(word)) <= allowed]
    edits = {name: _edit_distance(word, name) for name in likely}
    return [name for name in likely if edits[name] == min(edits.values()) <= allowed]


def _plain(name: str) -> str:
    return name.lower().lstrip("-/")


def _extends(word: str, name: str) -> bool:
    """Whether the word begins with the name, up to a separator or for at least a third of it."""
    rest = word.removeprefix(name)
    whole = rest[:1] in ("-", "_", ".", ":") or len(rest) <= 2 * len(name)
    return len(name) >= MIN_PREFIX and rest != word and whole


def _edit_distance(a: Sequence[str], b: Sequence[str]) -> int:
    """Insertions, deletions, replacements and swaps of neighbours that lead from `a` to `b`."""
    before, last = list[int](), list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        row = [i]
        for j, other in enumerate(b, 1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (letter != other)))
            if i > 1 and j > 1 and (letter, a[i - 2]) == (b[j - 2], other):
                row[-1] = min(row[-1], before[j - 2] + 1)
        before, last = last, row
    return last[-1]
