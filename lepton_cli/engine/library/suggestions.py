"""The names that a person may have meant."""

from collections.abc import Iterable, Sequence

MOST_SLIPS = 3
SHORTEST = 3  # a name that is shorter is no beginning that says anything
MOST_NAMES = 4


def did_you_mean(word: str, names: Iterable[str]) -> str | None:
    """A hint with the nearest names, if any is near enough to be meant."""
    near = nearest(word, names)
    return f"did you mean {' or '.join(near)}?" if near else None


def nearest(word: str, names: Iterable[str]) -> list[str]:
    """The names that `word` abbreviates; else those with the fewest slips; else those it extends.

    One slip for three characters at most: a suggestion that was not meant is worse than none, and
    so are many. Dashes and slashes in front do not count.
    """
    known = {_plain(name): name for name in names}
    wanted = _plain(word)
    near = (
        [name for name in known if name.startswith(wanted)]
        or _with_fewest_slips(wanted, known)
        or [name for name in known if _extends(wanted, name)]
    )
    return [known[name] for name in near] if wanted and len(near) <= MOST_NAMES else []


def _with_fewest_slips(word: str, names: Iterable[str]) -> list[str]:
    allowed = min(len(word) // 3, MOST_SLIPS)
    likely = [name for name in names if abs(len(name) - len(word)) <= allowed]
    slips = {name: _slips(word, name) for name in likely}
    return [name for name in likely if slips[name] == min(slips.values()) <= allowed]


def _plain(name: str) -> str:
    return name.lower().lstrip("-/")


def _extends(word: str, name: str) -> bool:
    """Whether the word begins with the name, and that is a whole part of it, or a third."""
    rest = word.removeprefix(name)
    whole = rest[:1] in ("-", "_", ".", ":") or len(rest) <= 2 * len(name)
    return len(name) >= SHORTEST and rest != word and whole


def _slips(a: Sequence[str], b: Sequence[str]) -> int:
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
