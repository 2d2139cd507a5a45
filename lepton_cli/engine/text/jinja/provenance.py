"""Text that knows which of its stretches a template wrote itself; all other text is a person's.

Trust is what spreads here, not suspicion: an operation that nobody thought of gives plain `str`,
which no one trusts, so forgetting one can only lose a special token, never let one in.
"""

from collections.abc import Iterable, Iterator

from lepton_cli.engine.text.messages import Segment

Span = tuple[int, int]
"""Where a trusted stretch starts and stops, in characters."""


class Traced(str):
    """Text with its trusted spans: ascending, apart from one another, not empty."""

    __slots__ = ("spans",)
    spans: tuple[Span, ...]

    def __new__(cls, text: str, spans: Iterable[Span]) -> "Traced":
        traced = super().__new__(cls, text)
        traced.spans = tuple(spans)
        return traced

    def __str__(self) -> str:
        """Itself: `str` would forget the spans."""
        return self


def spans_of(text: str) -> tuple[Span, ...]:
    return text.spans if isinstance(text, Traced) else ()


def trusted(text: str) -> Traced:
    """All of it is the template's."""
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
    """What some operation made of `sources`: the template's only if all their text is."""
    ours = all(is_trusted(source) for source in sources if isinstance(source, str))
    return trusted(text) if ours else text


def segments(text: str) -> list[Segment]:
    """The text as stretches that differ in trust from their neighbours."""
    return [Segment(part, ours) for part, ours in _stretches(text) if part]


def _stretches(text: str) -> Iterator[tuple[str, bool]]:
    at = 0
    for start, stop in spans_of(text):
        yield text[at:start], False
        yield text[start:stop], True
        at = stop
    yield text[at:], False
