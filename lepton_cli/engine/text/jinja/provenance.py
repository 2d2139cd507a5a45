"""Text that tracks which spans come from the template; all other text is the user's.

Trust is propagated, not distrust: an operation that is not handled gives a plain `str`, which is
not trusted, so a missing case can only lose a special token, never let one in.
"""

from collections.abc import Iterable, Iterator

from lepton_cli.engine.text.messages import Segment

Span = tuple[int, int]
"""Start and end of a trusted span, in characters."""


class Traced(str):
    """Text with its trusted spans: ascending, separate, not empty."""

    __slots__ = ("spans",)
    spans: tuple[Span, ...]

    def __new__(cls, text: str, spans: Iterable[Span]) -> "Traced":
        traced = super().__new__(cls, text)
        traced.spans = tuple(spans)
        return traced

    def __str__(self) -> str:
        """Returns itself: a plain `str` would lose the spans."""
        return self


def spans_of(text: str) -> tuple[Span, ...]:
    return text.spans if isinstance(text, Traced) else ()


def trusted(text: str) -> Traced:
    """Text that is entirely the template's."""
    return Traced(text, ((0, len(text)),) if text else ())


def is_trusted(text: str) -> bool:
    return not text or spans_of(text) == ((0, len(text)),)


def cut(text: str, start: int | None, stop: int | None) -> str:
    """`text[start:stop]`."""
    first, last, _ = slice(start, stop).indices(len(text))
    inside = [(max(a, first) - first, min(b, last) - first) for a, b in spans_of(text)]
    spans = [span for span in inside if span[0] < span[1]]
    return Traced(text[first:last], spans) if spans else text[first:last]


def join(pieces: Iterable[str]) -> str:
    texts: list[str] = []
    spans: list[Span] = []
    at = 0
    for piece in pieces:
        for start, stop in spans_of(piece):
            if spans and spans[-1][1] == at + start:
                spans[-1] = (spans[-1][0], at + stop)
            else:
                spans.append((at + start, at + stop))
        texts.append(piece)
        at += len(piece)
    return Traced("".join(texts), spans) if spans else "".join(texts)


def derived(text: str, *sources: object) -> str:
    """The result of an operation on `sources`: trusted only if all of them are."""
    ours = all(is_trusted(source) for source in sources if isinstance(source, str))
    return trusted(text) if ours else text


def segments(text: str) -> list[Segment]:
    """The text as segments of alternating trust."""
    return [Segment(part, ours) for part, ours in _trust_runs(text) if part]


def _trust_runs(text: str) -> Iterator[tuple[str, bool]]:
    at = 0
    for start, stop in spans_of(text):
        yield text[at:start], False
        yield text[start:stop], True
        at = stop
    yield text[at:], False
