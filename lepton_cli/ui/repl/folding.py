"""Folded texts in the input line: a long text is one character, shown as `[300 lines]`.

So every key deletes, moves and undoes it as a whole.
"""

from bisect import bisect_right
from itertools import accumulate

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput
from prompt_toolkit.layout.utils import explode_text_fragments

FIRST = 0x100000  # in the last private-use plane, which nobody types
MAX_ROWS = 10  # a longer text would push the message about it out of sight


class Folds(Processor):
    """The folded texts, and their display in the input line."""

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}

    def fold(self, text: str, width: int) -> str:
        """The character for a long text; a short text itself."""
        if sum(1 + len(line) // width for line in text.split("\n")) <= MAX_ROWS:
            return text
        code = FIRST + len(self._texts)
        self._texts[code] = text
        return chr(code)

    def expand(self, text: str) -> str:
        return text.translate(self._texts)

    def has_any(self, text: str) -> bool:
        return any(ord(character) in self._texts for character in text)

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        given = explode_text_fragments(transformation_input.fragments)
        shown: StyleAndTextTuples = [
            (style, _label(self._texts[ord(text)]) if ord(text) in self._texts else text)
            for style, text, *_ in given
        ]
        starts = [*accumulate((len(text) for _, text, *_ in shown), initial=0)]
        extra = starts[-1] - len(shown)
        if not extra:
            return Transformation(transformation_input.fragments)
        return Transformation(
            shown,
            source_to_display=lambda at: starts[at] if at < len(starts) else at + extra,
            display_to_source=lambda at: bisect_right(starts, at) - 1,
        )


def _label(text: str) -> str:
    lines = text.count("\n") + 1
    return f"[{lines} lines]" if lines > 1 else f"[{len(text)} characters]"
